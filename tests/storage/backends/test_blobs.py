"""Native files: equal ones are stored once, and any part of one is read alone."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

from tecken.errors import Malformed, NotFound, TooLarge, Unavailable
from tecken.storage.backends.blobs import Blobs, parse_reference, write_reference
from tecken.storage.backends.bucket import Bucket, bucket_for
from tecken.storage.backends.files import ObjectFiles, gzip_chunks
from tecken.storage.port import FileContent
from tecken.symbols.layouts import FileKey, blob_path, storage_path

if TYPE_CHECKING:
    from obstore import GetResult

CHANCE = random.Random(7)
TEXT = b"".join(CHANCE.choices([CHANCE.randbytes(7) for _ in range(300)], k=900_000))
NOISE = CHANCE.randbytes(1 << 20)
DIGEST = sha256(TEXT).hexdigest()
ONE = FileKey("libone.so", "44E4EC8C2F41492B9369D6B9A059577C2", "libone.so")
OTHER = FileKey("libother.so", "A" * 33, "libother.so.debug")
SYM = FileKey("libone.so", "44E4EC8C2F41492B9369D6B9A059577C2", "libone.so.sym")


class CountingBucket(Bucket):
    """Bucket in memory that notes what is written and how many bytes are read."""

    def __init__(self) -> None:
        super().__init__("memory", cache(MemoryStore))
        self.written: list[str] = []
        self.read = 0

    def put(self, key: str, *args: object, **kwargs: object) -> None:
        self.written.append(key)
        super().put(key, *args, **kwargs)  # type: ignore[arg-type]

    def chunks(self, result: GetResult) -> Iterator[bytes]:
        for chunk in super().chunks(result):
            self.read += len(chunk)
            yield chunk


@pytest.fixture
def bucket() -> CountingBucket:
    return CountingBucket()


@pytest.fixture
def files(bucket: CountingBucket) -> ObjectFiles:
    return ObjectFiles(bucket)


def whole(files: ObjectFiles, key: FileKey, start: int = 0, end: int | None = None) -> bytes:
    with files.read(key, start, end) as chunks:
        return b"".join(chunks)


def objects(bucket: Bucket) -> dict[str, int]:
    """Return the size of each object with content."""
    return {path: meta["size"] for path, meta in bucket.entries("blob")}


def test_put_equal_files_stores_one_object(files: ObjectFiles, bucket: CountingBucket) -> None:
    first, second = files.put(ONE, [TEXT]), files.put(OTHER, [TEXT[:5], TEXT[5:]])
    assert (first.size, first.etag, first.blob) == (len(TEXT), DIGEST, DIGEST)
    assert second[:2] == first[:2]
    assert list(objects(bucket)) == [blob_path(DIGEST)]
    assert bucket.written.count(blob_path(DIGEST)) == 1
    assert whole(files, ONE) == whole(files, OTHER) == TEXT
    assert objects(bucket)[blob_path(DIGEST)] < len(TEXT) / 2


def test_put_with_stored_content_reads_no_chunk(files: ObjectFiles) -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    files.put(ONE, [TEXT])
    assert files.put(OTHER, unread(), FileContent(len(TEXT), DIGEST)).blob == DIGEST
    assert whole(files, OTHER) == TEXT


@pytest.mark.parametrize("content", [NOISE, b"", zlib.compress(TEXT[: 1 << 20])])
def test_put_file_that_does_not_compress_is_stored_as_it_is(
    files: ObjectFiles, bucket: CountingBucket, content: bytes
) -> None:
    files.put(ONE, [content])
    assert objects(bucket) == {blob_path(sha256(content).hexdigest()): len(content)}
    assert whole(files, ONE) == content


def test_put_file_with_a_name_too_long_stores_no_content(files: ObjectFiles, bucket: CountingBucket) -> None:
    with pytest.raises(TooLarge):
        files.put(ONE._replace(file_name="x" * 1024), [TEXT])
    assert bucket.written == []


def test_put_symbol_file_stays_gzip_under_its_path(files: ObjectFiles, bucket: CountingBucket) -> None:
    stored = files.put(SYM, gzip_chunks([TEXT]))
    assert (stored.blob, bucket.written) == ("", [storage_path(SYM)])


def test_put_replaced_file_leaves_content_for_others(files: ObjectFiles) -> None:
    files.put(ONE, [TEXT])
    files.put(OTHER, [TEXT])
    files.put(ONE, [NOISE])
    files.delete(OTHER)
    assert whole(files, ONE) == NOISE
    assert files.put(OTHER, [TEXT]).blob == DIGEST


@pytest.mark.parametrize(("start", "end"), [(0, 1), (3_000_000, 3_000_100), (len(TEXT) - 1, None)])
def test_read_part_reads_few_frames(
    files: ObjectFiles, bucket: CountingBucket, start: int, end: int | None
) -> None:
    files.put(ONE, [TEXT])
    bucket.read = 0
    assert whole(files, ONE, start, end) == TEXT[start:end]
    assert bucket.read < objects(bucket)[blob_path(DIGEST)] / 4


def test_read_past_the_end_is_unavailable(files: ObjectFiles) -> None:
    files.put(ONE, [TEXT])
    assert whole(files, ONE, len(TEXT) - 5, len(TEXT) + 100) == TEXT[-5:]
    with pytest.raises(Unavailable), files.read(ONE, len(TEXT)):
        pass


@pytest.mark.parametrize("damaged", [b"", b"x" * 5000])
def test_read_damaged_content_is_unavailable(
    files: ObjectFiles, bucket: CountingBucket, damaged: bytes
) -> None:
    files.put(ONE, [TEXT])
    content = FileContent(len(TEXT), DIGEST)
    assert files.blobs.is_intact(content)
    bucket.put(blob_path(DIGEST), [damaged])
    with pytest.raises(Unavailable, match="is damaged"):
        whole(files, ONE)
    assert not files.blobs.is_intact(content)


def test_is_intact_plain_content_of_another_hash_is_not(files: ObjectFiles, bucket: CountingBucket) -> None:
    digest = files.put(ONE, [NOISE]).blob
    assert files.blobs.is_intact(FileContent(len(NOISE), digest))
    bucket.put(blob_path(digest), [b"y" * len(NOISE)])
    assert not files.blobs.is_intact(FileContent(len(NOISE), digest))


def test_reference_to_deleted_content_is_absent(files: ObjectFiles) -> None:
    files.put(ONE, [TEXT])
    files.blobs.delete(DIGEST)
    with pytest.raises(NotFound):
        files.stat(ONE)
    with pytest.raises(NotFound), files.read(ONE):
        pass
    assert files.put(ONE, [TEXT]) == files.stat(ONE)
    assert whole(files, ONE) == TEXT


def test_native_file_of_a_former_release_is_found_by_its_path(
    files: ObjectFiles, bucket: CountingBucket
) -> None:
    bucket.put(storage_path(ONE), [TEXT])
    assert (files.stat(ONE).size, files.stat(ONE).blob) == (len(TEXT), "")
    assert whole(files, ONE, 5, 10) == TEXT[5:10]
    assert [key for key, _ in files.entries()] == [ONE]


def test_put_over_a_native_file_of_a_former_release_replaces_it(
    files: ObjectFiles, bucket: CountingBucket
) -> None:
    bucket.put(storage_path(ONE), [TEXT])
    files.put(ONE, [NOISE])
    assert whole(files, ONE) == NOISE
    assert list(bucket.entries("v1")) == []
    assert [key for key, _ in files.entries()] == [ONE]


def test_delete_removes_both_forms_of_a_native_file(files: ObjectFiles, bucket: CountingBucket) -> None:
    files.put(ONE, [TEXT])
    bucket.put(storage_path(ONE), [b"left by a killed process"])
    assert list(files.keys()) == [ONE]
    files.delete(ONE)
    assert list(files.keys()) == []
    with pytest.raises(NotFound):
        files.stat(ONE)


def test_entries_of_many_native_files_are_their_stat(files: ObjectFiles) -> None:
    keys = [ONE._replace(file_name=f"{number}.so") for number in range(600)]
    for key in keys:
        files.put(key, [str(key).encode()])
    assert dict(files.entries()) == {key: files.stat(key) for key in keys}


def test_reference_is_read_back_and_an_unknown_version_is_not() -> None:
    content = FileContent(123, DIGEST)
    assert parse_reference(write_reference(content)) == content
    with pytest.raises(Malformed):
        parse_reference(write_reference(content).replace(b"blob 1", b"blob 2"))


Ask = Callable[[Blobs], object]


@pytest.mark.parametrize(
    "ask",
    [
        lambda blobs: blobs.stat(DIGEST),
        lambda blobs: blobs.put(FileContent(1, DIGEST), [b"x"]),
        lambda blobs: blobs.delete(DIGEST),
        lambda blobs: list(blobs.entries()),
    ],
)
def test_blobs_unreachable_storage_is_not_absent(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> None:
    no_directory = tmp_path_factory.mktemp("storage") / "file"
    no_directory.write_text("")
    with pytest.raises(Unavailable):
        ask(Blobs(bucket_for(no_directory.as_uri())))


def test_small_content_is_read_from_the_storage_once(files: ObjectFiles, bucket: CountingBucket) -> None:
    content = TEXT[:60_000]
    files.put(ONE, [content])
    assert whole(files, ONE) == content
    before = bucket.read
    assert whole(files, ONE) == content
    assert whole(files, ONE, 5, 70_000) == content[5:]
    # The references only: they show that the file is still there and the same.
    assert bucket.read == before + 2 * len(write_reference(FileContent(0, DIGEST)))
    files.put(ONE, [b"other"])
    assert whole(files, ONE) == b"other"
    with pytest.raises(Unavailable), files.read(ONE, 5):
        pass


def test_references_that_are_recalled_are_bounded(
    bucket: CountingBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take longer than the usual time.
    monkeypatch.setattr("tecken.storage.backends.files.RECALL_SECONDS", 600.0)
    monkeypatch.setattr("tecken.storage.backends.files.MAX_RECALLED", 2)
    files = ObjectFiles(bucket)
    keys = [ONE._replace(debug_id=f"{number:033X}") for number in range(3)]
    stored = [files.put(key, [b"small"]) for key in keys]
    for key in keys:
        whole(files, key)
    assert [*map(files.recall, keys, stored)] == [None, b"small", b"small"]


def test_small_content_that_was_damaged_is_not_intact(bucket: CountingBucket) -> None:
    content = FileContent(5, sha256(b"small").hexdigest())
    blobs = Blobs(bucket)
    blobs.put(content, [b"small"])
    with blobs.read(content) as chunks:
        assert b"".join(chunks) == b"small"
    Bucket.put(bucket, blob_path(content.digest), [b"other"])
    assert not blobs.is_intact(content)
    blobs.delete(content.digest)
    with pytest.raises(NotFound), blobs.read(content):
        pass

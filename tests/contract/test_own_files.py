"""Contract of OwnFiles in every storage, and of its signed URLs."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tecken.errors import InvalidInput, NotFound, Unavailable
from tecken.storage.backends.files import OwnSymbols, find_symbols, gzip_chunks
from tecken.storage.backends.memory import MemoryFiles
from tecken.storage.port import OwnFiles
from tecken.storage.services import own_files_for, page_files_for
from tecken.symbols.decompression import decompress
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tests.support.s3_server import S3Bucket
from tests.support.symbol_names import ODD_NAMES

pytest_plugins = ["tests.support.upstreams"]

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
SYM = symbol_file(XUL)
DLL = FileKey("xul.pdb", XUL.debug_id, "xul.dl_")
CONTENT = bytes(range(256)) * 20_000  # more than one chunk


@pytest.fixture
def memory() -> OwnFiles:
    return MemoryFiles()


@pytest.fixture
def local(tmp_path: Path) -> OwnFiles:
    return own_files_for((tmp_path / "not yet" / "there").as_uri())


@pytest.fixture
def s3(request: pytest.FixtureRequest) -> OwnFiles:
    return own_files_for(f"s3://{request.getfixturevalue('s3_bucket').name}/some prefix")


@pytest.fixture(params=["memory", "local", "s3"])
def files(request: pytest.FixtureRequest) -> OwnFiles:
    found: OwnFiles = request.getfixturevalue(request.param)
    return found


def whole(files: OwnFiles, key: FileKey, start: int = 0, end: int | None = None) -> bytes:
    with files.read(key, start, end) as chunks:
        return b"".join(chunks)


def test_files_get_returns_the_stored_bytes(files: OwnFiles) -> None:
    for key, content in ((SYM, gzip.compress(CONTENT)), (DLL, CONTENT)):
        stored = files.put(key, [content[:1000], content[1000:]])
        assert whole(files, key) == content
        assert stored == files.stat(key)
        assert stored.size == len(content)


def test_files_empty_file_is_present(files: OwnFiles) -> None:
    assert files.put(DLL, []).size == 0
    assert whole(files, DLL) == b""


def test_find_symbols_in_any_spelling_gives_the_file_put_last(files: OwnFiles) -> None:
    spellings = [ObjectId(name, XUL.debug_id) for name in ("Foo.pdb", "foo.pdb", "FOO.PDB")]
    first, second, third = spellings
    with pytest.raises(NotFound):
        find_symbols(files, first)
    for put in (first, second):
        files.put(symbol_file(put), gzip_chunks([put.debug_file.encode()]))
        time.sleep(1.1)  # S3 has times in seconds
        assert {find_symbols(files, asked)[0] for asked in spellings} == {symbol_file(put)}
    files.delete(symbol_file(second))
    assert {find_symbols(files, asked)[0] for asked in spellings} == {symbol_file(first)}
    with OwnSymbols(files).open(third) as chunks:
        assert b"".join(decompress(chunks, 100)) == b"Foo.pdb"


def test_files_stat_has_the_time_of_storing(files: OwnFiles) -> None:
    modified = files.put(DLL, [CONTENT]).modified
    assert abs(modified - datetime.now(UTC)) < timedelta(minutes=10)


def test_files_etag_changes_with_the_bytes(files: OwnFiles) -> None:
    first = files.put(DLL, [b"first"]).etag
    assert files.stat(DLL).etag == first
    assert files.put(DLL, [b"other"]).etag != first
    assert first
    assert '"' not in first


def test_files_other_key_is_absent(files: OwnFiles) -> None:
    files.put(SYM, [b"x"])
    with pytest.raises(NotFound):
        files.stat(DLL)
    with pytest.raises(NotFound), files.read(DLL):
        pass
    with pytest.raises(NotFound), files.read(DLL, 1, 2):
        pass


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5, 300_000), (1_000_000, None), (len(CONTENT) - 1, None), (10, len(CONTENT) + 10)],
)
def test_files_range_returns_a_part(files: OwnFiles, start: int, end: int | None) -> None:
    files.put(DLL, [CONTENT])
    assert whole(files, DLL, start, end) == CONTENT[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (7, 5)])
def test_files_empty_range_is_invalid_input(files: OwnFiles, start: int, end: int) -> None:
    files.put(DLL, [CONTENT])
    with pytest.raises(ValueError, match=f"{start} to {end}"), files.read(DLL, start, end):
        pass


@pytest.mark.parametrize("end", [200, None])
def test_files_range_past_the_end_is_unavailable(files: OwnFiles, end: int | None) -> None:
    files.put(DLL, [b"x" * 100])
    with pytest.raises(Unavailable), files.read(DLL, 100, end):
        pass


def test_files_put_replaces_the_earlier_file(files: OwnFiles) -> None:
    files.put(DLL, [b"first and long"])
    files.put(DLL, [b"second"])
    assert whole(files, DLL) == b"second"
    assert list(files.keys()) == [DLL]


def broken(error: Exception) -> Iterator[bytes]:
    for _ in range(20):
        yield b"x" * (1 << 20)
    raise error


def test_files_interrupted_put_stores_nothing(
    files: OwnFiles, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(RuntimeError, match="reader"):
        files.put(DLL, broken(RuntimeError("reader")))
    with pytest.raises(NotFound):
        files.stat(DLL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    if "s3_bucket" in request.fixturenames:
        bucket: S3Bucket = request.getfixturevalue("s3_bucket")
        assert bucket.unfinished_uploads() == 0


def test_files_failed_put_keeps_the_earlier_file(files: OwnFiles) -> None:
    files.put(DLL, [b"old"])
    with pytest.raises(RuntimeError, match="reader"):
        files.put(DLL, broken(RuntimeError("reader")))
    assert whole(files, DLL) == b"old"


UPPER = FileKey("XUL.PDB", XUL.debug_id, "XUL.pd_")
LOWER = FileKey("xul.pdb", XUL.debug_id, "xul.pd_")


@pytest.mark.parametrize(
    ("put", "asked"), [(UPPER, LOWER), (LOWER, UPPER), (UPPER, FileKey("Xul.pdb", *UPPER[1:]))]
)
def test_files_windows_name_in_other_case_is_found_until_deleted(
    files: OwnFiles, put: FileKey, asked: FileKey
) -> None:
    files.put(put, [CONTENT])
    assert files.other_case(asked) == put
    assert list(files.keys()) == [put]
    with pytest.raises(NotFound):
        files.other_case(put)
    files.delete(put)
    with pytest.raises(NotFound):
        files.other_case(asked)


def test_files_other_name_in_other_case_is_absent(files: OwnFiles) -> None:
    files.put(FileKey("libXUL.so", XUL.debug_id, "libXUL.so"), [CONTENT])
    with pytest.raises(NotFound):
        files.other_case(FileKey("libxul.so", XUL.debug_id, "libxul.so"))


def test_files_delete_twice_succeeds(files: OwnFiles) -> None:
    files.delete(DLL)
    files.put(DLL, [CONTENT])
    files.delete(DLL)
    files.delete(DLL)
    with pytest.raises(NotFound):
        files.stat(DLL)


def test_files_entries_list_every_file(files: OwnFiles) -> None:
    assert list(files.keys()) == []
    keys = {SYM, DLL, *(FileKey(name, "A" * 33, f"{name}.sym") for name in ODD_NAMES)}
    stored = {key: files.put(key, [str(key).encode()]) for key in keys}
    assert set(files.keys()) == keys
    found = dict(files.entries())
    assert {key: entry[:2] for key, entry in found.items()} == {key: stored[key][:2] for key in keys}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_unusual_names_are_stored(files: OwnFiles, name: str) -> None:
    key = FileKey(name, "A" * 33, f"{name}.sym")
    files.put(key, [name.encode()])
    assert whole(files, key) == name.encode()
    files.delete(key)
    with pytest.raises(NotFound):
        files.stat(key)


@pytest.mark.parametrize(
    "key",
    [
        FileKey("..", XUL.debug_id, "xul.sym"),
        FileKey("xul.pdb", ".", "xul.sym"),
        FileKey("xul.pdb", XUL.debug_id, ".."),
        FileKey("a/b", XUL.debug_id, "xul.sym"),
        FileKey("xul.pdb", "", "xul.sym"),
        FileKey("xul.pdb", XUL.debug_id, "xul.sym.pages"),
        FileKey("xul.pdb", XUL.debug_id, "xul.sym#12"),
    ],
)
def test_files_invalid_name_is_refused(files: OwnFiles, key: FileKey) -> None:
    with pytest.raises(InvalidInput, match="no file can have the name"):
        files.put(key, [b"x"])
    with pytest.raises(NotFound):
        files.stat(key)
    with pytest.raises(NotFound), files.read(key):
        pass
    files.delete(key)
    assert list(files.keys()) == []


@pytest.mark.parametrize("storage", ["local", "s3"])
def test_files_name_too_long_for_storage_is_refused(request: pytest.FixtureRequest, storage: str) -> None:
    files: OwnFiles = request.getfixturevalue(storage)
    key = FileKey("x" * 1024, XUL.debug_id, "xul.sym")
    with pytest.raises(InvalidInput):
        files.put(key, [b"x"])
    with pytest.raises(NotFound):
        files.stat(key)
    files.delete(key)


def test_files_entries_exclude_page_files(tmp_path: Path) -> None:
    files, pages = own_files_for(tmp_path.as_uri()), page_files_for(tmp_path.as_uri())
    pages.write(XUL, [b"pages"])
    files.put(SYM, [b"x"])
    assert list(files.keys()) == [SYM]
    assert [module for module, _ in pages.entries()] == [XUL]


def test_files_regular_and_try_are_separate(tmp_path: Path) -> None:
    regular, tried = own_files_for(tmp_path.as_uri()), own_files_for(f"{tmp_path.as_uri()}/try")
    tried.put(SYM, [b"tried"])
    assert list(regular.keys()) == []
    regular.put(SYM, [b"regular"])
    assert (whole(regular, SYM), whole(tried, SYM)) == (b"regular", b"tried")


def test_files_symbol_file_is_stored_compressed() -> None:
    assert SYM.file_type.is_compressed
    assert FileKey("a", "B" * 33, "a.SYM").file_type.is_compressed
    assert not DLL.file_type.is_compressed
    assert gzip.decompress(b"".join(gzip_chunks([CONTENT, b"", CONTENT]))) == CONTENT * 2


def test_files_in_a_directory_have_no_signed_urls(local: OwnFiles) -> None:
    local.put(SYM, [b"x"])
    assert local.signed_get(SYM, 60) is None
    assert local.signed_put(SYM, 60) is None


def test_files_in_memory_with_a_url_are_signed() -> None:
    signing = MemoryFiles(url="https://storage.example")
    assert signing.signed_get(SYM, 60) == f"https://storage.example/v1/{SYM}?expires=60"
    assert MemoryFiles().signed_put(SYM, 60) is None


@pytest.mark.parametrize("name", ["xul.pdb", "a b+%25?#日本.pdb"])
def test_files_signed_url_allows_get_and_put(s3: OwnFiles, name: str) -> None:
    key = FileKey(name, XUL.debug_id, f"{name}.sym")
    text = gzip.compress(b"MODULE")
    to_put, to_get = s3.signed_put(key, 60), s3.signed_get(key, 60)
    assert to_put
    assert to_get
    put = Request(to_put, text, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}, method="PUT")
    with urlopen(put, timeout=10) as answer:
        assert answer.status == 200
    assert whole(s3, key) == text
    with urlopen(to_get, timeout=10) as answer:
        assert answer.read() == text
        assert answer.headers["Content-Encoding"] == "gzip"


def test_files_signed_url_sends_content_encoding(s3: OwnFiles) -> None:
    s3.put(SYM, gzip_chunks([b"MODULE"]))
    url = s3.signed_get(SYM, 60)
    assert url
    with urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"] == "text/plain"


def test_files_signed_url_of_a_native_file_sends_its_bytes_unless_they_are_compressed(s3: OwnFiles) -> None:
    noise = random.Random(1).randbytes(100_000)
    s3.put(DLL, [noise])
    url = s3.signed_get(DLL, 60)
    assert url
    with urlopen(url, timeout=10) as answer:
        assert answer.read() == noise
        assert answer.headers["Content-Encoding"] is None
    s3.put(DLL, [CONTENT])
    assert s3.signed_get(DLL, 60) is None


def test_files_plain_native_file_of_a_directory_is_opened_in_place(local: OwnFiles) -> None:
    noise = random.Random(1).randbytes(100_000)
    local.put(DLL, [noise])
    opened = local.open_file(DLL)
    assert opened
    with opened:
        local.delete(DLL)
        assert opened.read() == noise
        assert not opened.writable()


def test_files_others_are_not_opened_in_place(files: OwnFiles) -> None:
    files.put(DLL, [CONTENT])
    files.put(SYM, [gzip.compress(CONTENT)])
    absent = DLL._replace(file_name="other.dll")
    assert [files.open_file(key) for key in (DLL, SYM, absent)] == [None] * 3


Ask = Callable[[OwnFiles], object]


@pytest.mark.parametrize(
    "ask",
    [
        lambda files: files.stat(SYM),
        lambda files: whole(files, SYM),
        lambda files: files.open_file(DLL),
        lambda files: files.put(SYM, [b"x"]),
        lambda files: files.delete(SYM),
        lambda files: list(files.keys()),
    ],
)
def test_files_unreachable_storage_is_not_absent(s3: OwnFiles, ask: Ask) -> None:
    away = MemoryFiles()
    away.outage = Unavailable("away")
    with pytest.raises(Unavailable, match="away"):
        ask(away)
    with pytest.raises(Unavailable, match="nobody-made-this"):
        ask(own_files_for("s3://nobody-made-this"))

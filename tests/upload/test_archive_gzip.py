from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tecken.upload.archive import ArchiveLimits, Member, NotReusable, list_members
from tecken.upload.zip_archive import PIECE_BYTES, TEXT_BYTES, open_zip
from tests.upload.zips import DIRECTORY_ENTRY, corrupted, deflated, packed_as, zipped

LIMITS = ArchiveLimits(unpacked=50 << 20, member=50 << 20, members=10, ratio=2000)
NAME = "xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym"
TEXT = b"".join(b"FUNC %x 10 0 f%d\n%x 10 1 0\n" % (number, number, number) for number in range(20_000))
STREAM = deflated(TEXT)


@contextmanager
def opened(archive: bytes) -> Iterator[Member]:
    with open_zip(io.BytesIO(archive), LIMITS) as zipped_file:
        (entry,) = list_members(zipped_file, LIMITS).members
        yield entry.member


def read_both(archive: bytes) -> tuple[bytes, list[bytes]]:
    """Return the gzip file and the unpacked pieces."""
    pieces: list[bytes] = []
    with opened(archive) as member:
        return b"".join(member.read_gzip(pieces.append)), pieces


def test_read_gzip_member_has_the_stream_of_the_archive() -> None:
    packed, pieces = read_both(packed_as(NAME, STREAM, TEXT))
    assert gzip.decompress(packed) == TEXT == b"".join(pieces)
    assert packed[10:-8] == STREAM


@pytest.mark.parametrize("size", [1, TEXT_BYTES - 1, TEXT_BYTES, TEXT_BYTES + 1, 12 * TEXT_BYTES])
def test_read_gzip_dense_member_is_unpacked_in_small_pieces(size: int) -> None:
    packed, pieces = read_both(zipped({NAME: bytes(size)}))
    assert gzip.decompress(packed) == bytes(size) == b"".join(pieces)
    assert max(map(len, pieces)) <= TEXT_BYTES


@pytest.mark.parametrize(
    ("stream", "size"),
    [
        (STREAM[:-1], len(TEXT)),
        (STREAM[:100], len(TEXT)),
        (STREAM + b"more", len(TEXT)),
        (STREAM + bytes(PIECE_BYTES), len(TEXT)),
        (STREAM + zlib.crc32(TEXT).to_bytes(4, "little") + len(TEXT).to_bytes(4, "little"), len(TEXT)),
        (STREAM + STREAM, len(TEXT)),
        (STREAM, len(TEXT) - 1),
        (STREAM, len(TEXT) + 1),
        (deflated(TEXT[:-1] + b"!"), len(TEXT)),
        (b"\xff" + STREAM, len(TEXT)),
    ],
)
def test_read_gzip_other_stream_than_declared_is_not_reusable(stream: bytes, size: int) -> None:
    with pytest.raises(NotReusable):
        read_both(packed_as(NAME, stream, TEXT, size))


def test_read_gzip_stream_longer_than_declared_is_not_unpacked() -> None:
    pieces: list[bytes] = []
    with (
        opened(packed_as(NAME, deflated(bytes(40 << 20)), b"", 4000)) as member,
        pytest.raises(NotReusable, match="longer"),
    ):
        list(member.read_gzip(pieces.append))
    assert pieces == []


def test_read_gzip_other_checksum_is_not_reusable() -> None:
    with pytest.raises(NotReusable, match="incorrect data check"):
        read_both(corrupted(zipped({NAME: TEXT})))


def test_read_gzip_own_header_with_another_name_is_not_reusable() -> None:
    archive = packed_as(NAME, STREAM, TEXT).replace(b"xul.sym", b"xxx.sym", 1)
    with pytest.raises(NotReusable, match="differ"):
        read_both(archive)


def changed(archive: bytes, changes: dict[int, int]) -> bytes:
    """Replace bytes before the directory, so that the archive can be opened."""
    content, end = bytearray(archive), archive.index(DIRECTORY_ENTRY)
    for position, value in changes.items():
        content[position % end] = value
    return bytes(content)


SMALL = packed_as(NAME, deflated(TEXT[:2000]), TEXT[:2000])


@given(st.dictionaries(st.integers(0, len(SMALL)), st.integers(0, 255), max_size=3))
@example({})
def test_read_gzip_changed_archive_has_the_bytes_of_read_or_none(changes: dict[int, int]) -> None:
    archive = changed(SMALL, changes)
    try:
        packed, pieces = read_both(archive)
    except NotReusable:
        return
    with opened(archive) as member:
        text = b"".join(member.read())
    assert gzip.decompress(packed) == text == b"".join(pieces)


@pytest.mark.parametrize(
    ("archive", "is_kept"),
    [
        (zipped({NAME: TEXT}), True),
        (zipped({NAME: TEXT}, zipfile.ZIP_STORED), False),
        (zipped({NAME: b""}), False),
        (packed_as(NAME, bytes(100), bytes(300)), True),
        (packed_as(NAME, bytes(100), bytes(299)), False),
    ],
)
def test_is_reusable_member_that_is_hardly_compressed_is_not(archive: bytes, is_kept: bool) -> None:
    with opened(archive) as member:
        assert member.is_reusable is is_kept

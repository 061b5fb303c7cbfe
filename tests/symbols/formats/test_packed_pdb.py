"""Compressed PDB files (MSFZ), small ones made here: which bytes of which chunk a stream begins with."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from struct import pack

import pytest
import zstandard

from tecken.errors import Malformed
from tecken.symbols.formats import FileReader, identify
from tecken.symbols.formats.base import Kind
from tecken.symbols.formats.pdb import MAX_UNPACKED_BYTES, PACKED_MAGIC

NATIVE = Path(__file__).parents[2] / "data" / "native"
PLAIN, ZSTD, DEFLATE = 0, 1, 2
PACKED = 1 << 63
HEADER_BYTES = 80
GUID = bytes(range(16))
DEBUG_ID = "03020100050407060809" + "0A0B0C0D0E0F"
INFO = pack("<III16s", 20000404, 1, 1, GUID)
DBI = pack("<iIIHHHHHHIIIIIIIIHHI", -1, 19990903, 7, *[0] * 14, 0, 0x8664, 0)


def packed(content: bytes, form: int) -> bytes:
    if form == ZSTD:
        return zstandard.compress(content)
    if form == DEFLATE:
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(content) + compressor.flush()
    return content


def msfz(
    streams: Sequence[Sequence[tuple[int, int]] | None],
    chunks: Sequence[tuple[bytes, int]] = (),
    *,
    data: bytes = b"",
    directory_form: int = PLAIN,
    version: int = 0,
) -> bytes:
    """Return a file of streams, each a list of fragments; `data` follows the header."""
    body, table = data, b""
    for content, form in chunks:
        compressed = packed(content, form)
        table += pack("<QIII", HEADER_BYTES + len(body), form, len(compressed), len(content))
        body += compressed
    directory = b""
    for fragments in streams:
        directory += b"".join(pack("<IQ", *fragment) for fragment in fragments or ())
        directory += pack("<I", 0xFFFFFFFF if fragments is None else 0)
    place = HEADER_BYTES + len(body)
    sizes = len(packed(directory, directory_form)), len(directory)
    header = (PACKED_MAGIC, version, place, place + sizes[0], len(streams), directory_form, *sizes)
    body += packed(directory, directory_form) + table
    return pack("<32sQQQIIIIII", *header, len(chunks), len(table)) + body


def debug_id(content: bytes) -> str:
    (info,) = identify(FileReader(io.BytesIO(content), len(content)))
    return info.debug_id


def in_chunk(number: int, offset: int) -> int:
    return PACKED | number << 32 | offset


@pytest.mark.parametrize("form", [PLAIN, ZSTD, DEFLATE])
def test_identify_compressed_pdb_has_the_ids_of_its_streams(form: int) -> None:
    streams = [[], [(len(INFO), in_chunk(0, 5))], None, [(len(DBI), in_chunk(0, 5 + len(INFO)))]]
    content = msfz(streams, [(b"other" + INFO + DBI + b"x", form)], directory_form=form)
    (info,) = identify(FileReader(io.BytesIO(content), len(content)))
    assert (info.kind, info.format, info.arch, info.debug_id) == (Kind.DEBUG, "pdb", "x86_64", f"{DEBUG_ID}7")


def test_identify_compressed_pdb_of_the_encoder_is_that_of_the_plain_one() -> None:
    plain, compressed = (NATIVE / name for name in ("native.pdb", "packed.pdb"))
    with plain.open("rb") as one, compressed.open("rb") as other:
        expected = identify(FileReader(one, plain.stat().st_size))
        assert identify(FileReader(other, compressed.stat().st_size)) == expected


def test_identify_compressed_pdb_with_plain_streams_and_without_dbi() -> None:
    assert debug_id(msfz([[], [(len(INFO), HEADER_BYTES)]], data=INFO)) == f"{DEBUG_ID}1"


def test_identify_compressed_pdb_may_have_a_stream_in_parts() -> None:
    chunks = [(b"12345" + INFO[:3], ZSTD), (INFO[3:7], DEFLATE), (INFO[10:] + b"x", ZSTD)]
    fragments = [(7, in_chunk(0, 5)), (3, HEADER_BYTES), (len(INFO) - 10, in_chunk(2, 0))]
    assert debug_id(msfz([[], fragments], chunks, data=INFO[7:10])) == f"{DEBUG_ID}1"


BIG = bytes(MAX_UNPACKED_BYTES // 2 + 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PACKED_MAGIC, "ends before"),
        (msfz([[], [(28, HEADER_BYTES)]], data=INFO, version=1), "version 1 of MSFZ"),
        (msfz([[], None]), "no information stream"),
        (msfz([[], [(28, in_chunk(4, 0))]], [(INFO, ZSTD)]), "no information stream"),
        (msfz([[], [(28, in_chunk(0, 29))]], [(INFO, ZSTD)]), "no information stream"),
        (msfz([[], [(28, 1 << 40)]]), "ends before"),
        (msfz([[], [(28, in_chunk(0, 0))]], [(INFO, 3)]), "form 3"),
        (
            msfz([[], [(28, HEADER_BYTES)]], data=INFO, directory_form=ZSTD).replace(b"\x28\xb5", b"xx"),
            "unpacked",
        ),
        (msfz([[], [(14, in_chunk(0, len(BIG) - 14))] * 2], [(BIG, ZSTD)]), "too large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_identify_broken_compressed_pdb_is_malformed(content: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        debug_id(content)


def test_identify_cut_compressed_pdb_ends_with_a_reason() -> None:
    streams = [[], [(len(INFO), in_chunk(0, 0))], None, [(len(DBI), in_chunk(0, len(INFO)))]]
    content = msfz(streams, [(INFO + DBI, ZSTD)], directory_form=ZSTD)
    for size in range(len(PACKED_MAGIC), len(content)):
        with pytest.raises(Malformed):
            debug_id(content[:size])

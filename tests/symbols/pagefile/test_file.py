from __future__ import annotations

import io
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile, TooLarge
from tecken.symbols.pagefile.file import (
    MAX_PAGE_BYTES,
    PREFIX,
    Header,
    Metadata,
    PageWriter,
    Section,
    decoded_bytes,
    header_bytes,
)
from tecken.symbols.pagefile.page import encode
from tests.symbols.version_2 import as_version_2

METADATA = Metadata(
    "xul.pdb", "A1", "xul.dll", "C1", "windows", "x86_64", "gen", 3, 99, {"FUNC unreadable": 1}
)


def page(key: int, text: bytes) -> bytes:
    return zstandard.compress(encode([key], [text]))


def written(dictionary: bytes = b"", last: bytes = b"i") -> tuple[Header, bytes]:
    out = io.BytesIO()
    writer = PageWriter(out)
    writer.add(Section.SYMBOLS, 0x1000, page(0x1000, b"f"))
    writer.add(Section.SYMBOLS, 0x2000, page(0x2000, b"g"))
    writer.add(Section.ORIGINS, 5, page(5, last))
    header = writer.header(METADATA, dictionary)
    return header, header.raw + out.getvalue()


def test_decoded_bytes_without_size_are_zero() -> None:
    raw = encode([1], [b"f"])
    assert decoded_bytes(zstandard.compress(raw)) == len(raw)
    assert decoded_bytes(zstandard.ZstdCompressor(write_content_size=False).compress(raw)) == 0
    assert decoded_bytes(b"no page") == 0


def test_header_written_parts_are_parsed() -> None:
    header, _ = written(b"dictionary")
    again = Header.parse(header.raw)
    assert again.metadata == METADATA
    assert again.generation == header.generation
    assert again.page_count == 3
    assert list(map(again.pages, Section)) == [range(2), range(2, 2), range(2, 3), range(3, 3)]
    assert again.size >= len(header.raw)


def test_page_for_key_is_the_page_that_covers_it() -> None:
    header, _ = written()
    symbols = [header.page_for(Section.SYMBOLS, key) for key in (0, 0xFFF, 0x1000, 0x1FFF, 0x2000, 2**40)]
    assert symbols == [None, None, 0, 0, 1, 1]
    assert header.page_for(Section.FILES, 0) is None
    assert [header.page_for(Section.ORIGINS, number) for number in (4, 5, 6)] == [None, 2, 2]


def test_span_of_a_page_has_its_bytes() -> None:
    header, file = written()
    texts = [header.open(file[slice(*header.span(number))]).text(0) for number in range(3)]
    assert texts == [b"f", b"g", b"i"]
    assert header.span(2)[1] == len(file)


def test_header_bytes_of_a_prefix_is_the_length() -> None:
    header, file = written(b"dictionary")
    assert header_bytes(file[:PREFIX]) == len(header.raw)


def test_generation_differs_with_the_content() -> None:
    assert written()[0].generation == written()[0].generation
    assert written()[0].generation != written(last=b"j")[0].generation
    assert len(written()[0].generation) == 16


def test_header_of_version_2_opens_its_pages() -> None:
    header, file = written(b"")
    old, pages = as_version_2(header, file[len(header.raw) :])
    again = Header.parse(old.raw)
    assert (again.version, again.is_current, header.is_current) == (2, False, True)
    assert list(map(again.pages, Section)) == [range(2), range(2, 2), range(2, 3), range(0)]
    assert again.metadata == METADATA
    old_file = old.raw + pages
    texts = [again.open(old_file[slice(*again.span(number))]).text(0) for number in range(3)]
    assert texts == [b"f", b"g", b"i"]
    assert again.page_for(Section.CFI, 5) is None


def test_header_of_version_3_opens_its_pages() -> None:
    header, file = written(b"dictionary")
    old = Header.parse(header.raw[:8] + b"\3\0" + header.raw[10:])
    assert (old.version, old.is_current) == (3, False)
    assert list(map(old.pages, Section)) == list(map(header.pages, Section))
    pages = [file[slice(*old.span(number))] for number in range(3)]
    assert [old.open(page).text(0) for page in pages] == [b"f", b"g", b"i"]
    assert [bytes(old.unpack(page).record(0)) for page in old.load(pages)] == [b"f", b"g", b"i"]


@pytest.mark.parametrize("cut", [0, 1, PREFIX - 1, PREFIX, -1])
def test_header_truncated_is_malformed(cut: int) -> None:
    header, _ = written(b"dictionary")
    with pytest.raises(MalformedPageFile):
        Header.parse(header.raw[:cut])


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [(0, b"X", "not a page file"), (8, b"\xff", "unknown format version 255"), (10, b"\7", "codec 7")],
)
def test_header_of_another_format_is_malformed(at: int, value: bytes, says: str) -> None:
    header, _ = written()
    with pytest.raises(MalformedPageFile, match=says):
        header_bytes(header.raw[:at] + value + header.raw[at + 1 :])


def test_header_with_inconsistent_sizes_is_malformed() -> None:
    header, _ = written()
    raw = header.raw[:16] + struct.pack("<I", 10**9) + header.raw[20:]
    with pytest.raises(MalformedPageFile, match="add up"):
        Header.parse(raw)


def test_header_with_invalid_metadata_is_malformed() -> None:
    header, _ = written()
    raw = header.raw.replace(b'"arch"', b'"bark"')
    with pytest.raises(MalformedPageFile, match="metadata"):
        _ = Header.parse(raw).metadata


@given(st.binary(max_size=100))
def test_open_arbitrary_bytes_is_malformed(raw: bytes) -> None:
    header, _ = written()
    with pytest.raises(MalformedPageFile):
        header.open(raw)


def test_open_damaged_page_is_malformed() -> None:
    header, file = written()
    damaged = bytearray(file[slice(*header.span(0))])
    damaged[5:9] = b"\xff" * 4
    with pytest.raises(MalformedPageFile):
        header.open(bytes(damaged))


def test_open_page_over_its_bound_is_malformed() -> None:
    header, _ = written()
    with pytest.raises(MalformedPageFile, match="likely size"):
        header.open(zstandard.compress(bytes(MAX_PAGE_BYTES + 1)))


def test_page_writer_over_4_gib_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = PageWriter(io.BytesIO())
    monkeypatch.setattr(writer, "_written", 2**32 - 10)
    with pytest.raises(TooLarge, match="4 GiB"):
        writer.add(Section.SYMBOLS, 0, bytes(10))

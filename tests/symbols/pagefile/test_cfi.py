from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols.pagefile import cfi
from tecken.symbols.pagefile.cfi import CfiRecord, expand, find, pack
from tecken.symbols.pagefile.convert import PageFileWriter
from tecken.symbols.pagefile.file import Section
from tecken.symbols.pagefile.page import decode, encode

MODULE = b"MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 libx.so\nPUBLIC 10 0 p\n"
INIT = b"STACK CFI INIT 1000 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^"
PUSH = b"STACK CFI 1001 .cfa: $rsp 16 +"
MOVE = b"STACK CFI 1004 .cfa: $rbp 16 +"
WIN = b"STACK WIN 4 2000 30 6 0 8 0 10 0 1 $T0 .raSearch ="


class Converted:
    def __init__(self, text: bytes, size: int = 1 << 20) -> None:
        pages = io.BytesIO()
        writer = PageFileWriter(io.BytesIO(), pages, cfi=io.BytesIO())
        for begin in range(0, len(text), size):
            writer.feed(text[begin : begin + size])
            assert not writer.complete
        self.header = writer.finish()
        self.file = self.header.raw + pages.getvalue()

    def at(self, offset: int) -> CfiRecord | None:
        number = self.header.page_for(Section.CFI, offset)
        return (
            None
            if number is None
            else find(self.header.open(self.file[slice(*self.header.span(number))]), offset)
        )


def test_cfi_offset_has_its_record_and_the_changes_before_it() -> None:
    module = Converted(MODULE + b"\n".join((WIN, INIT, PUSH, MOVE, b"")))
    assert module.at(0xFFF) is None
    assert module.at(0x1000) == CfiRecord(0x1000, 0x1040, (INIT,))
    assert module.at(0x1003) == CfiRecord(0x1000, 0x1040, (INIT, PUSH))
    assert module.at(0x103F) == CfiRecord(0x1000, 0x1040, (INIT, PUSH, MOVE))
    assert module.at(0x1040) is None
    assert module.at(0x2005) == CfiRecord(0x2000, 0x2030, (WIN,))
    assert module.at(0x2030) is None


def test_cfi_symbols_are_those_of_a_page_file_without_it() -> None:
    text = MODULE + b"FUNC 20 8 0 f\n20 8 1 1\n" + INIT + b"\n"
    pages = io.BytesIO()
    writer = PageFileWriter(io.BytesIO(), pages)
    writer.feed(text)
    header, with_cfi = writer.finish(), Converted(text)
    assert header.metadata == with_cfi.header.metadata
    assert with_cfi.file[len(with_cfi.header.raw) :].startswith(pages.getvalue())
    assert (len(header.pages(Section.CFI)), len(with_cfi.header.pages(Section.CFI))) == (0, 1)


def test_cfi_other_lines_and_returns_do_not_count() -> None:
    lines = (INIT, b"FUNC 1 2 0 late", b"", PUSH, b"STACK CFI", b"STACK OTHER 1", b"")
    record = Converted(MODULE + b"\r\n".join(lines)).at(0x1020)
    assert record == CfiRecord(0x1000, 0x1040, (INIT, PUSH))


def test_cfi_change_without_a_range_is_left_out() -> None:
    assert len(Converted(MODULE + PUSH + b"\n").header.pages(Section.CFI)) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"STACK CFI INIT 100000000 10 .cfa: $rsp 8 +\n", "STACK past 4 GiB"),
        (INIT + b"\n" + PUSH * 9000 + b"\n", "STACK record of more than 262144 bytes"),
    ],
)
def test_cfi_unusable_record_is_dropped_and_counted(text: bytes, reason: str) -> None:
    assert Converted(MODULE + text).header.metadata.dropped == {reason: 1}


def test_cfi_too_many_records_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfi, "MAX_RECORDS", 2)
    header = Converted(MODULE + (INIT + b"\n") * 5).header
    assert header.metadata.dropped == {"STACK record after the first 2": 3}


def test_cfi_large_section_has_many_pages() -> None:
    lines = (
        b"STACK CFI INIT %x 10 .cfa: $rsp 8 +\nSTACK CFI %x .cfa: $rsp 16 +\n" % (a, a + 1)
        for a in range(16, 90_000, 16)
    )
    module = Converted(MODULE + b"".join(lines), 1000)
    assert len(module.header.pages(Section.CFI)) > 5
    for start in range(16, 90_000, 1600):
        record = module.at(start + 5)
        assert record
        assert (record.start, len(record.lines)) == (start, 2)


ADDRESS = st.integers(0, 2**32 - 1)
RULES = st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))


@given(ADDRESS, ADDRESS, RULES, st.lists(st.tuples(ADDRESS, RULES)))
def test_pack_generated_records_are_expanded(
    address: int, size: int, rules: bytes, changes: list[tuple[int, bytes]]
) -> None:
    lines = [b"STACK CFI INIT %x %x %b" % (address, size, rules)]
    lines += [b"STACK CFI %x %b" % change for change in changes]
    assert expand(pack(lines), address) == lines


@pytest.mark.parametrize(
    "lines", [[WIN], [b"STACK CFI INIT 01000 40 x"], [INIT, b"STACK CFI 01001 x"], [INIT, b"STACK CFI 1001"]]
)
def test_pack_unusual_record_keeps_its_lines(lines: list[bytes]) -> None:
    assert pack(lines) == b"\n".join(lines)
    assert expand(pack(lines), 0x1000) == lines


@given(
    st.lists(
        st.sampled_from(
            (
                b"STACK CFI INIT 10 8 x",
                b"STACK WIN 4 20 8",
                b"STACK CFI 11 y",
                b"STACK ",
                b"\n",
                b"\r\n",
                b"z",
            )
        )
    )
)
@settings(deadline=None)
def test_cfi_arbitrary_text_is_converted(parts: list[bytes]) -> None:
    module = Converted(MODULE + b"".join(parts), 7)
    for offset in (0, 0x10, 0x12, 0x20, 0x30):
        module.at(offset)


@pytest.mark.parametrize("text", [b"", b"x", b"10 .cfa\nx", b"STACK", b"STACK x"])
def test_find_malformed_record_raises(text: bytes) -> None:
    with pytest.raises(MalformedPageFile):
        find(decode(encode([0], [text])), 0)


def test_cfi_endless_line_is_dropped_in_bounded_memory() -> None:
    header = Converted(MODULE + INIT + b"\n" + PUSH + b"x" * (3 << 20) + b"\n" + WIN, 1 << 16).header
    assert header.metadata.dropped == {f"STACK record of more than {cfi.MAX_RECORD} bytes": 1}
    assert len(header.pages(Section.CFI)) == 1

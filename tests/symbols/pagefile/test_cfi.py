from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols import engine
from tecken.symbols.pagefile import cfi
from tecken.symbols.pagefile.cfi import (
    PythonRecordScanner,
    RecordScanner,
    UnwindRecords,
    WinRecord,
    expand,
    find,
)
from tecken.symbols.pagefile.convert import PageFileWriter, symbol_file_text
from tecken.symbols.pagefile.file import Section
from tecken.symbols.pagefile.page import decode, encode

MODULE = b"MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 libx.so\nPUBLIC 10 0 p\n"
INIT = b"STACK CFI INIT 1000 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^"
PUSH = b"STACK CFI 1001 .cfa: $rsp 16 +"
MOVE = b"STACK CFI 1004 .cfa: $rbp 16 +"
WIN = b"STACK WIN 4 2000 30 6 0 8 0 10 0 1 $T0 .raSearch ="


NOTHING = UnwindRecords(None, ())


class Converted:
    def __init__(self, text: bytes, size: int = 1 << 20) -> None:
        pages = io.BytesIO()
        writer = PageFileWriter(io.BytesIO(), pages, cfi=io.BytesIO())
        for begin in range(0, len(text), size):
            writer.feed(text[begin : begin + size])
            assert not writer.complete
        self.header = writer.finish()
        self.file = self.header.raw + pages.getvalue()

    def at(self, offset: int, *, has_win: bool = True) -> UnwindRecords:
        number = self.header.page_for(Section.CFI, offset)
        if number is None:
            return NOTHING
        return find(self.header.open(self.file[slice(*self.header.span(number))]), offset, has_win=has_win)

    def text(self) -> bytes:
        """Return the STACK records of the symbol file that is made from the page file."""
        read = lambda spans: [self.file[slice(*span)] for span in spans]  # noqa: E731
        return b"".join(b"".join(symbol_file_text(self.header, read)).partition(b"STACK ")[1:])


def test_cfi_offset_has_its_record_and_the_changes_before_it() -> None:
    module = Converted(MODULE + b"\n".join((WIN, INIT, PUSH, MOVE, b"")))
    assert module.at(0xFFF) == NOTHING
    assert module.at(0x1000).cfi == (INIT,)
    assert module.at(0x1003).cfi == (INIT, PUSH)
    assert module.at(0x103F) == UnwindRecords(None, (INIT, PUSH, MOVE))
    assert module.at(0x1040) == NOTHING
    assert module.at(0x2005) == UnwindRecords(WinRecord(WIN, 8), ())
    assert module.at(0x2005, has_win=False) == NOTHING
    assert module.at(0x2030) == NOTHING


def win(kind: int, start: int, size: int, parameters: int = 0) -> bytes:
    program = b"1 $T0 .raSearch =" if kind == 4 else b"0 1"
    return b"STACK WIN %x %x %x 0 0 %x 0 0 0 %b" % (kind, start, size, parameters, program)


def find_wins(*lines: bytes) -> dict[int, bytes]:
    """Return the WIN record at each offset that has one."""
    module = Converted(MODULE + b"\n".join((*lines, b"")))
    found = {offset: module.at(offset).win for offset in range(0x100, 0x200)}
    return {offset: record.line for offset, record in found.items() if record}


def test_find_frame_data_is_preferred_to_fpo() -> None:
    fpo, data = win(0, 0x100, 0x20, 4), win(4, 0x110, 8)
    found = find_wins(fpo, data)
    assert found == dict.fromkeys(range(0x100, 0x120), fpo) | dict.fromkeys(range(0x110, 0x118), data)


def test_find_win_record_ends_where_the_next_one_of_its_type_begins() -> None:
    whole, inner = win(4, 0x100, 0x40), win(4, 0x108, 8)
    assert find_wins(whole, inner) == dict.fromkeys(range(0x100, 0x108), whole) | dict.fromkeys(
        range(0x108, 0x110), inner
    )


def test_find_first_win_record_of_one_address_counts() -> None:
    first = win(4, 0x100, 8, 12)
    assert find_wins(first, win(4, 0x100, 8, 16)) == dict.fromkeys(range(0x100, 0x108), first)


def test_find_win_record_whose_type_and_flag_differ_does_not_count() -> None:
    without_program = win(4, 0x100, 8).replace(b" 1 $T0", b" 0 $T0")
    assert find_wins(without_program, win(0, 0x110, 8).replace(b"0 1", b"1 1"), win(3, 0x120, 8)) == {}


@pytest.mark.parametrize(
    ("start", "size"), [(0x1000, 0x41), (0x1000, 0x40), (0x1010, 8), (0x103F, 0x10), (0x1000, 0)]
)
def test_find_init_record_that_begins_inside_of_another_does_not_count(start: int, size: int) -> None:
    first, other = b"STACK CFI INIT 1000 40 first", b"STACK CFI INIT %x %x other" % (start, size)
    for order in ((first, other), (other, first)) if size != 0x40 else ((first, other),):
        module = Converted(MODULE + b"\n".join((*order, b"")))
        found = {module.at(offset).cfi for offset in range(0x1000, 0x1060)}
        assert found == {(first,), ()}


def test_find_changes_in_any_order_are_sorted() -> None:
    late, early = b"STACK CFI 1008 late", b"STACK CFI 1004 early"
    module = Converted(MODULE + b"\n".join((INIT, late, early, b"")))
    assert module.at(0x1010).cfi == (INIT, early, late)
    assert module.at(0x1005).cfi == (INIT, early)


def test_find_record_over_many_pages_is_found_on_each() -> None:
    outer = win(0, 0x1000, 0x40)
    others = (b"STACK CFI INIT %x 2 %b" % (0x1002 + 2 * i, b"x" * 1000) for i in range(31))
    module = Converted(MODULE + b"\n".join((outer, *others, b"STACK CFI INIT 2000 10 y", b"")))
    assert [module.at(offset).win for offset in (0x1000, 0x103E)] == [WinRecord(outer, 0)] * 2
    assert len(module.header.pages(Section.CFI)) == 2


def test_cfi_hostile_ranges_are_cut_into_bounded_pages() -> None:
    lines = (b"STACK WIN 4 %x ffffffff 0 0 0 0 0 0 1 %b\n" % (i, b"x" * 1000) for i in range(600))
    header = Converted(MODULE + b"".join(lines)).header
    assert len(header.pages(Section.CFI)) == 3


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
    assert Converted(MODULE + b"\r\n".join(lines)).at(0x1020).cfi == (INIT, PUSH)


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
    header = Converted(MODULE + (WIN + b"\n") * 5).header
    assert header.metadata.dropped == {"STACK record after the first 2": 3}


def test_cfi_large_section_has_many_pages() -> None:
    lines = (
        b"STACK CFI INIT %x 10 .cfa: $rsp 8 +\nSTACK CFI %x .cfa: $rsp 16 +\n" % (a, a + 1)
        for a in range(16, 90_000, 16)
    )
    module = Converted(MODULE + b"".join(lines), 1000)
    assert len(module.header.pages(Section.CFI)) > 5
    for start in range(16, 90_000, 1600):
        first, change = module.at(start + 5).cfi
        assert first.startswith(b"STACK CFI INIT %x " % start)
        assert change.startswith(b"STACK CFI %x " % (start + 1))


ADDRESS = st.integers(0, 2**32 - 1)
RULES = st.text(".:$ abcrs+-^0123456789", min_size=1, max_size=20).map(str.strip).filter(bool).map(str.encode)


@given(ADDRESS, ADDRESS, RULES, st.lists(st.tuples(ADDRESS, RULES)), st.integers(1, 100))
@settings(deadline=None)
def test_cfi_generated_records_are_kept(
    address: int, size: int, rules: bytes, changes: list[tuple[int, bytes]], piece: int
) -> None:
    lines = [b"STACK CFI INIT %x %x %b\n" % (address, size or 1, rules)]
    lines += [b"STACK CFI %x %b\n" % change for change in changes]
    assert Converted(MODULE + b"".join(lines), piece).text() == b"".join(lines)


def test_cfi_numbers_are_written_in_one_way() -> None:
    module = Converted(MODULE + b"STACK CFI INIT 0A0  010 x\nSTACK CFI 000AB y  z\n" + WIN + b"\n")
    assert module.text() == b"STACK CFI INIT a0 10 x\nSTACK CFI ab y  z\n" + WIN + b"\n"


@pytest.mark.parametrize(
    "line", [b"CFI INIT 10", b"CFI INIT 1+0 8 x", b"CFI zz x", b"CFI 1fffffffff x", b"WIN 4"]
)
def test_cfi_line_that_is_no_record_is_left_out(line: bytes) -> None:
    module = Converted(MODULE + b"\n".join((INIT, b"STACK " + line, WIN, b"")))
    assert module.text() == INIT + b"\n" + WIN + b"\n"


def test_expand_whole_lines_of_version_3_are_kept() -> None:
    lines = [b"STACK CFI INIT 01000 40 x", b"STACK CFI 01001 x"]
    assert expand(b"\n".join(lines), 0x1000) == lines
    page = decode(encode([0x1000], [b"\n".join(lines)]))
    assert find(page, 0x1002).cfi == tuple(lines)


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


def scan(scanner: RecordScanner, text: bytes, piece: int) -> tuple[dict[str, int], list[bytes]]:
    """Return the counts of a scanner, and each column of its records."""
    found = [scanner.feed(text[begin : begin + piece]) for begin in range(0, len(text), piece)]
    found.append(scanner.finish())
    return dict(scanner.dropped), [b"".join(column) for column in zip(*found, strict=True)]


NUMBERS = st.sampled_from(
    [*(b"0", b"10", b"0A0", b"ffffffff", b"100000000", b"-5", b"+5", b"0x10", b"1_0", b"_", b"zz", b"")]
)
LINE = st.tuples(
    st.sampled_from((b"STACK", b"STACK", b"STACK", b"FUNC", b" STACK", b"")),
    st.sampled_from((b"CFI", b"CFI", b"CFI INIT", b"CFI INIT", b"WIN 4", b"WIN", b"OTHER", b"CFI  INIT")),
    NUMBERS,
    NUMBERS,
    st.sampled_from((b".cfa: $rsp 8 +", b"x\r", b"\r\rx", b"\t", b" a  b ", b"", b"x" * 300)),
).map(b" ".join)


@pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built")
@given(st.lists(LINE, max_size=30), st.integers(1, 200), st.sampled_from((b"\n", b"\r\n", b"\n\n")))
@settings(deadline=None, max_examples=500)
def test_engine_records_are_those_of_python(lines: list[bytes], piece: int, newline: bytes) -> None:
    text = MODULE + newline.join(lines)
    assert scan(cfi.make_record_scanner(), text, piece) == scan(PythonRecordScanner(), text, piece)


@pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built")
@pytest.mark.parametrize("piece", [1 << 10, 1 << 16, 1 << 20])
def test_engine_long_records_are_those_of_python(piece: int) -> None:
    changes = b"".join(b"STACK CFI %x $rax: %b\n" % (0x1001 + i, b"y" * 90) for i in range(3000))
    text = MODULE + INIT + b"\n" + changes + WIN + b"z" * (1 << 20) + b"\n" + changes + INIT + b"\n" + PUSH
    assert scan(cfi.make_record_scanner(), text, piece) == scan(PythonRecordScanner(), text, piece)

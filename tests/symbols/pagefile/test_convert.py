"""Rules of conversion, one test each. For malformed files the name of the test states the decision."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.errors import Malformed, MalformedPageFile, NotFound, TooLarge
from tecken.symbols import engine
from tecken.symbols.formats import breakpad
from tecken.symbols.lookup import Frame, find, frame, name
from tecken.symbols.pagefile import bounds, convert, cutter
from tecken.symbols.pagefile.convert import PageFileWriter, symbol_file_text
from tecken.symbols.pagefile.file import Header, Metadata, Section
from tecken.symbols.pagefile.page import Page
from tests.symbols.generate import sym_files

MODULE = b"MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 libx.so\n"


@pytest.fixture(params=["python", "engine"], autouse=True)
def _use_form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(engine, "MODULE", None)
    elif engine.MODULE is None:
        pytest.skip("the engine is not built (make engine)")


FILES = b"FILE 7 a.c\nFILE 2 b.c\nINLINE_ORIGIN 9 g()\nFILE 3 c d.c\nINLINE_ORIGIN 1 h\n"
Records = list[tuple[int, bytes]]


class Converted:
    def __init__(self, *chunks: bytes, offsets: Iterable[int] | None = None, with_cfi: bool = False) -> None:
        pages = io.BytesIO()
        converter = PageFileWriter(io.BytesIO(), pages, cfi=io.BytesIO() if with_cfi else None)
        for chunk in chunks:
            converter.feed(chunk)
        self.frames: dict[int, Frame | None] = {}
        if offsets is not None:
            converter.finish_scan()
            self.frames = dict(converter.frames_at(offsets))
        self.complete = converter.complete
        self.header = converter.finish()
        self.file = self.header.raw + pages.getvalue()
        self.dropped = self.header.metadata.dropped

    def read(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.file[start:end] for start, end in spans]

    def text(self) -> bytes:
        return b"".join(symbol_file_text(self.header, self.read))

    def page(self, number: int) -> Page:
        return self.header.open(self.file[slice(*self.header.span(number))])

    def records(self, section: Section) -> Records:
        pages = map(self.page, self.header.pages(section))
        return [
            (key, page.text(i) if section is Section.SYMBOLS else page.record(i))
            for page in pages
            for i, key in enumerate(page.keys)
        ]


def converted(text: bytes) -> Converted:
    return Converted(MODULE + text)


def symbols(text: bytes) -> Records:
    return converted(text).records(Section.SYMBOLS)


def lines(count: int, start: int = 0x1000) -> bytes:
    """Return line records with gaps between them, which conversion does not join."""
    return b"".join(b"%x 1 %d 0\n" % (start + 2 * i, i) for i in range(count))


# The first record


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n\n"])
def test_converter_empty_file_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed, match="empty"):
        Converted(text)


@pytest.mark.parametrize(
    "text", [b"FUNC 1 1 0 f\n", b"MODULE Linux x86_64\n", b"<html>", b"\n" + MODULE, b"\0" * 99]
)
def test_converter_without_module_record_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed, match="must begin with MODULE"):
        Converted(text)


def test_converter_module_record_alone_is_malformed() -> None:
    with pytest.raises(Malformed, match="no FUNC and no PUBLIC"):
        Converted(MODULE + FILES)


def test_converter_stack_records_alone_give_no_symbols() -> None:
    assert symbols(b"STACK CFI INIT 1 2 .cfa: $rsp 8 +\n") == []


def test_converter_wrong_start_is_refused_at_once() -> None:
    converter = PageFileWriter(io.BytesIO(), io.BytesIO())
    with pytest.raises(Malformed, match="must begin with MODULE"):
        converter.feed(b"x" * 100 + b"\n" * cutter.WINDOW)


def test_converter_endless_line_is_malformed() -> None:
    with pytest.raises(Malformed, match="line of more than"):
        Converted(MODULE, b"x" * (5 << 20))


def test_converter_line_of_almost_four_mebibytes_is_accepted() -> None:
    rest = (4 << 20) - 1 - cutter.WINDOW
    line = [b"x" * cutter.WINDOW, b"x" * rest]
    assert Converted(MODULE, *line, b"\nPUBLIC 1 0 p\n").records(Section.SYMBOLS) == [(1, b"PUBLIC 1 0 p")]


def test_converter_too_many_records_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakpad, "MAX_RECORDS", 10)
    assert len(symbols(b"PUBLIC 1 0 p\n" * 10)) == 10
    with pytest.raises(TooLarge, match="more than 10 records"):
        converted(b"PUBLIC 1 0 p\n" * 12)


def test_converter_metadata_has_every_field() -> None:
    info = b"INFO CODE_ID 5CF2591C6859000 crash.exe\nINFO GENERATOR mozilla/dump_syms 2.3.9\nINFO URL x\n"
    text = (
        b"MODULE windows x86 3249D99D0C4049318610F4E4FB0B69361 crash two.pdb\r\n" + info + b"PUBLIC 10 0 p\n"
    )
    assert Converted(text).header.metadata == Metadata(
        debug_file="crash two.pdb",
        debug_id="3249D99D0C4049318610F4E4FB0B69361",
        code_file="crash.exe",
        code_id="5CF2591C6859000",
        os="windows",
        arch="x86",
        generator="mozilla/dump_syms 2.3.9",
        symbols=1,
        sym_bytes=len(text),
        dropped={},
    )


def test_converter_missing_metadata_is_empty() -> None:
    metadata = Converted(b"MODULE mac arm64 A1 \xff\nPUBLIC 10 0 p").header.metadata
    assert (metadata.debug_file, metadata.code_file, metadata.code_id, metadata.generator) == (
        "\ufffd",
        "",
        "",
        "",
    )


# FILE and INLINE_ORIGIN


def test_converter_names_are_found_by_number() -> None:
    module = converted(FILES + b"PUBLIC 10 0 p\n")
    assert module.records(Section.FILES) == [(2, b"b.c"), (3, b"c d.c"), (7, b"a.c")]
    assert module.records(Section.ORIGINS) == [(1, b"h"), (9, b"g()")]


def test_converter_duplicate_number_keeps_the_last_name() -> None:
    module = converted(b"FILE 1 a\nFILE 2 b\nFILE 1 c\nPUBLIC 10 0 p\nFILE 2 d\n")
    assert module.records(Section.FILES) == [(1, b"c"), (2, b"d")]


def test_converter_names_inside_a_block_do_not_end_it() -> None:
    module = converted(b"FUNC 10 8 0 f\n10 4 1 0\nINLINE_ORIGIN 4 late\nFILE 0 x\n20 4 2 0\nFUNC 30 8 0 g\n")
    assert module.records(Section.ORIGINS) == [(4, b"late")]
    assert module.records(Section.FILES) == [(0, b"x")]
    assert module.records(Section.SYMBOLS) == [
        (0x10, b"FUNC 10 8 0 f\n10 4 1 0\n20 4 2 0"),
        (0x30, b"FUNC 30 8 0 g"),
    ]


def test_converter_number_over_32_bits_is_dropped() -> None:
    module = converted(b"FILE 4294967296 a\nFILE 4294967295 b\nPUBLIC 10 0 p\n")
    assert module.records(Section.FILES) == [(4294967295, b"b")]
    assert module.dropped == {"FILE or INLINE_ORIGIN number past 2**32": 1}


def test_converter_invalid_utf8_and_empty_names_are_kept() -> None:
    module = converted(b"FILE 1 \xff\xfe\nFILE 2 \nFILE 3\nFILE x y\nPUBLIC 10 0 p\n")
    assert module.records(Section.FILES) == [(1, b"\xff\xfe"), (2, b""), (3, b"")]


# FUNC and PUBLIC


def test_converter_block_ends_at_the_next_record() -> None:
    text = b"FUNC 10 8 0 f\n10 4 1 0\nFUNC m 20 8 0 g\nPUBLIC m 40 0 p\nPUBLIC 50 0 q\n"
    text += b"FUNC 60 8 0 h\n60 1 1 1\nSTACK CFI\n"
    assert symbols(text) == [
        (0x10, b"FUNC 10 8 0 f\n10 4 1 0"),
        (0x20, b"FUNC m 20 8 0 g"),
        (0x40, b"PUBLIC m 40 0 p"),
        (0x50, b"PUBLIC 50 0 q"),
        (0x60, b"FUNC 60 8 0 h\n60 1 1 1"),
    ]


def test_converter_text_after_the_first_stack_record_is_ignored() -> None:
    module = converted(b"PUBLIC 10 0 p\nSTACK WIN 4 1\nFUNC 20 8 0 f\nFILE 1 a\n")
    assert module.records(Section.SYMBOLS) == [(0x10, b"PUBLIC 10 0 p")]
    assert module.records(Section.FILES) == []


def test_converter_first_stack_record_makes_it_complete(tmp_path: Path) -> None:
    text = MODULE + b"PUBLIC 10 0 p\nSTACK CFI\n" + b"x\n" * cutter.WINDOW
    with (tmp_path / "spool").open("w+b") as spool:
        converter = PageFileWriter(spool, io.BytesIO())
        fed = 0
        while not converter.complete:
            converter.feed(text[fed : fed + 4096])
            fed += 4096
        converter.feed(b"more")
        assert fed < len(text)
        spool.flush()
        # The engine keeps as much in memory.
        assert (tmp_path / "spool").stat().st_size == (0 if engine.MODULE else cutter.WINDOW)
        assert converter.finish().metadata.sym_bytes == text.index(b"\nSTACK")


def test_converter_unsorted_records_are_sorted_stably() -> None:
    text = b"FUNC 30 8 0 c\nFUNC 10 8 0 a\n10 4 1 0\nPUBLIC 30 0 p\nFUNC 30 8 0 d\nPUBLIC 20 0 b\n"
    found = symbols(text)
    assert [key for key, _ in found] == [0x10, 0x20, 0x30, 0x30, 0x30]
    assert [block[-1:] for _, block in found[1:]] == [b"b", b"c", b"p", b"d"]
    assert found[0][1] == b"FUNC 10 8 0 a\n10 4 1 0"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"FUNC 10 0 0 f", "FUNC of zero size"),
        (b"FUNC 100000000 10 0 f", "FUNC past 4 GiB"),
        (b"FUNC xyz 10 0 f", "FUNC unreadable"),
        (b"FUNC 10", "FUNC unreadable"),
        (b"FUNC ", "FUNC unreadable"),
        (b"PUBLIC 100000000 0 p", "PUBLIC past 4 GiB"),
        (b"PUBLIC m", "PUBLIC unreadable"),
    ],
)
def test_converter_unusable_record_is_dropped_and_counted(record: bytes, reason: str) -> None:
    module = converted(b"FUNC 1 1 0 a\n" + record + b"\n10 4 1 0\nPUBLIC 90 0 kept\n")
    assert module.records(Section.SYMBOLS) == [(1, b"FUNC 1 1 0 a"), (0x90, b"PUBLIC 90 0 kept")]
    assert module.dropped == {reason: 1}


@pytest.mark.parametrize(
    "make_lines",
    [
        lambda: lines(bounds.MAX_BLOCK // 8),
        lambda: b"1000 1 1 1 " + b"1 1 1 " * (bounds.MAX_WORDS // 3 + 1) + b"\n",
    ],
    ids=["bytes", "words"],
)
def test_converter_func_with_too_many_lines_keeps_its_name(make_lines: Callable[[], bytes]) -> None:
    module = converted(b"FUNC 1 1 0 a\n" + make_lines() + b"FUNC 2 1 0 b\n2 1 7 0\n")
    assert module.records(Section.SYMBOLS) == [(1, b"FUNC 1 1 0 a"), (2, b"FUNC 2 1 0 b\n2 1 7 0")]
    assert module.dropped == {"lines of a FUNC of more than 4194304 bytes or 1048576 words": 1}


def test_converter_func_with_too_many_names_among_its_lines_keeps_its_name() -> None:
    names = b"INLINE_ORIGIN 1 x\n" * (bounds.MAX_BLOCK // 17)
    module = converted(b"FUNC 1 1 0 a\n1 1 7 0\n" + names + b"FUNC 2 1 0 b\n")
    assert module.records(Section.SYMBOLS) == [(1, b"FUNC 1 1 0 a"), (2, b"FUNC 2 1 0 b")]
    assert module.dropped == {"lines of a FUNC of more than 4194304 bytes or 1048576 words": 1}


def test_converter_too_deep_inlined_calls_are_dropped() -> None:
    calls = b"".join(b"INLINE %d 1 1 1 10 8\n" % depth for depth in range(bounds.MAX_DEPTH + 3))
    module = converted(b"FUNC 10 8 0 f\n" + calls + b"10 8 1 0\n")
    ((_, block),) = module.records(Section.SYMBOLS)
    assert block.count(b"INLINE ") == bounds.MAX_DEPTH
    assert block.endswith(b"\n10 8 1 0")
    assert module.dropped == {"INLINE of a depth of 256 or more": 3}


def test_converter_long_names_are_cut_between_characters() -> None:
    name = "é".encode() * bounds.MAX_NAME_BYTES
    module = converted(
        b"FILE 1 x" + name + b"\nINLINE_ORIGIN 2 y" + name + b"\n"
        b"FUNC m 10 8 0 f" + name + b"\n10 8 1 1\nPUBLIC 20 0 p" + name + b"\n"
    )
    (_, block), (_, public) = module.records(Section.SYMBOLS)
    ((_, file),) = module.records(Section.FILES)
    ((_, origin),) = module.records(Section.ORIGINS)
    kept = name[: bounds.MAX_NAME_BYTES - 2]
    assert block == b"FUNC 10 8 0 f" + kept + b"\n10 8 1 1"
    assert (public, file, origin) == (b"PUBLIC 20 0 p" + kept, b"x" + kept, b"y" + kept)
    assert module.dropped == {"end of a name of more than 8192 bytes": 4}


def test_converter_symbols_at_one_address_are_bounded() -> None:
    text = b"FUNC 10 8 0 f\n" + b"PUBLIC 10 0 p\n" * (bounds.MAX_EQUAL + 9) + b"PUBLIC 20 0 q\n"
    module = converted(b"PUBLIC 30 0 r\n" + text)
    keys = [key for key, _ in module.records(Section.SYMBOLS)]
    assert keys == [0x10] * bounds.MAX_EQUAL + [0x20, 0x30]
    assert module.dropped == {"symbol after the first 256 of one address": 10}


def test_converter_numbers_far_apart_are_unreadable() -> None:
    module = converted(b"FUNC " + b" " * 300 + b"10 8 0 f\nPUBLIC " + b" " * 300 + b"10 0 p\nPUBLIC 90 0 q\n")
    assert module.records(Section.SYMBOLS) == [(0x90, b"PUBLIC 90 0 q")]
    assert module.dropped == {"FUNC unreadable": 1, "PUBLIC unreadable": 1}


def test_converter_calls_of_early_writers_are_left_out_and_counted() -> None:
    module = converted(b"FUNC 10 60 0 f\nINLINE 0 42 0 10 30\nINLINE 1 7 1 10 8 20 8\n10 30 41 0\n")
    assert module.records(Section.SYMBOLS) == [(0x10, b"FUNC 10 60 0 f\n10 30 41 0")]
    assert module.dropped == {"INLINE without a call file, as early writers have it": 2}


def test_converter_causes_are_named_once_and_only_those_of_symbols() -> None:
    text = b"FILE 4294967296 a\nFUNC 100000000 1 0 f\nPUBLIC 200000000 0 p\nFUNC 10 0 0 g\n"
    with pytest.raises(Malformed) as error:
        converted(text)
    assert str(error.value) == (
        "symbol file has no FUNC or PUBLIC record that can be used: addresses above 4 GiB; the file has "
        "absolute instead of module-relative addresses; FUNC of zero size"
    )


@pytest.mark.parametrize("end", [b"", b"STACK CFI INIT 1 2 .cfa: $rsp 8 +\n"])
def test_converter_absolute_addresses_are_the_reason_of_the_error(end: bytes) -> None:
    with pytest.raises(Malformed, match="addresses above 4 GiB; the file has absolute instead of module-rel"):
        converted(b"FUNC 140001000 20 0 main\n140001000 20 5 0\n" + end)


@pytest.mark.parametrize("record", [b"FUNC 0x1000 0x20 0 f", b"FUNC m 1000 0X20 0 f", b"PUBLIC 0x1000 0 p"])
def test_converter_hex_prefixes_are_the_reason_of_the_error(record: bytes) -> None:
    with pytest.raises(Malformed, match="numbers with a 0x prefix; the format has plain hex digits"):
        converted(record + b"\n")


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_converter_sorting_is_the_same_for_any_number_of_records(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(breakpad, "SORTED_AT_ONCE", limit)
    addresses = [0xFFFFFFFF, 0x10000, 5, 0x20005, 5, 0x1FFFF, 0, 0x10000]
    found = symbols(b"".join(b"PUBLIC %x 0 %d\n" % (address, i) for i, address in enumerate(addresses)))
    expected = sorted(enumerate(addresses), key=lambda entry: entry[1])
    assert found == [(address, b"PUBLIC %x 0 %d" % (address, i)) for i, address in expected]


@pytest.mark.parametrize(
    "record", [b"MODULE Linux x86_64 A1 " + b"x" * 10_000, b"MODULE " + b"L" * 10_000 + b" x86_64 A1 x"]
)
def test_converter_overlong_module_record_is_malformed(record: bytes) -> None:
    with pytest.raises(Malformed, match="MODULE record of more than"):
        Converted(record + b"\nPUBLIC 1 0 p\n")


def test_converter_longest_module_record_is_accepted() -> None:
    record = b"MODULE Linux x86_64 A1 "
    # The newline before the record counts.
    record += b"x" * (breakpad.MAX_MODULE_BYTES - 1 - len(record))
    assert Converted(record + b"\nPUBLIC 1 0 p\n").header.metadata.debug_file == record.split()[-1].decode()
    with pytest.raises(Malformed, match="MODULE record of more than"):
        Converted(record + b"x\nPUBLIC 1 0 p\n")


def test_converter_code_file_of_any_length_is_bounded() -> None:
    metadata = converted(b"INFO CODE_ID AB " + b"x" * 10_000 + b"\nPUBLIC 1 0 p\n").header.metadata
    assert (metadata.code_id, len(metadata.code_file)) == ("AB", 1024)


def test_converter_source_paths_are_stored_clean() -> None:
    module = converted(b"FILE 1 a/./b.c\nFILE 2 C:/x\\..\\y.c\r\nFILE 3 \xff/../z.c\nPUBLIC 1 0 p\n")
    assert [path for _, path in module.records(Section.FILES)] == [b"a/b.c", b"C:\\y.c", b"z.c"]


def test_converter_windows_line_ends_are_accepted() -> None:
    text = (MODULE + FILES + b"FUNC 10 8 0 f\n10 4 1 0\n20 4 1 0\nPUBLIC 40 0 p\n").replace(b"\n", b"\r\n")
    module = Converted(text)
    assert [text.split() for _, text in module.records(Section.SYMBOLS)] == [
        b"FUNC 10 8 0 f 10 4 1 0 20 4 1 0".split(),
        b"PUBLIC 40 0 p".split(),
    ]
    assert [text.strip() for _, text in module.records(Section.FILES)] == [b"b.c", b"c d.c", b"a.c"]


def test_converter_last_line_without_end_is_accepted() -> None:
    assert symbols(b"FUNC 10 8 0 f\n10 4 1") == [(0x10, b"FUNC 10 8 0 f\n10 4 1")]
    assert symbols(b"PUBLIC 10 0 p\nFUNC 20") == [(0x10, b"PUBLIC 10 0 p")]


def test_converter_unknown_lines_stay_in_their_block() -> None:
    assert symbols(b"FUNC 10 8 0 f\nwhat is this\n\n10 4 1 0\n") == [
        (0x10, b"FUNC 10 8 0 f\nwhat is this\n\n10 4 1 0")
    ]


# Pages


def pages_of(text: bytes) -> list[list[int]]:
    module = converted(text)
    return [list(module.page(number).keys) for number in module.header.pages(Section.SYMBOLS)]


def test_converter_page_is_cut_at_its_size() -> None:
    # More than half a page.
    block = lines(cutter.PAGE_SIZE // 20)
    text = b"".join(b"FUNC %x 100 0 f\n" % (0x1000 * i) + block for i in range(5))
    assert pages_of(text) == [[0, 0x1000], [0x2000, 0x3000], [0x4000]]


def test_converter_page_includes_publics_of_its_last_func() -> None:
    text = b"FUNC 10 100 0 f\n" + lines(cutter.PAGE_SIZE // 10)
    text += b"PUBLIC 20 0 p\nPUBLIC 10f 0 q\nPUBLIC 110 0 r\nFUNC 200 10 0 g\n"
    assert pages_of(text) == [[0x10, 0x20, 0x10F], [0x110, 0x200]]


def test_converter_equal_addresses_share_a_page() -> None:
    text = (
        b"FUNC 10 1 0 f\n" + lines(cutter.PAGE_SIZE // 10) + b"FUNC 10 1 0 g\nPUBLIC 10 0 p\nFUNC 11 1 0 h\n"
    )
    assert pages_of(text) == [[0x10, 0x10, 0x10], [0x11]]


def test_converter_func_over_the_whole_module_has_many_pages() -> None:
    text = b"FUNC 0 ffffffff 0 f\n" + b"".join(b"PUBLIC %x 0 %s\n" % (i, b"p" * 2000) for i in range(1, 2000))
    assert max(map(len, pages_of(text))) * 2000 < 2 * breakpad.MAX_PAGE


def test_converter_page_inside_one_func_has_256_kib_more_at_most() -> None:
    text = b"FUNC 0 ffffffff 0 f\n" + b"".join(b"PUBLIC %x 0 %s\n" % (i, b"p" * 2000) for i in range(1, 2000))
    module = converted(text)
    pages = map(module.page, module.header.pages(Section.SYMBOLS))
    longest = max(sum(len(page.text(i)) for i in range(len(page.keys))) for page in pages)
    assert 256 << 10 <= longest < (8 << 10) + (256 << 10) + 2 * 2020


def test_converter_pages_have_8_kib_of_text() -> None:
    # Each record has 32 bytes, without its line end.
    text = b"".join(b"PUBLIC %08x 0 %s\n" % (i, b"p" * 14) for i in range(2000))
    assert list(map(len, pages_of(text))) == [256] * 7 + [208]


def test_converter_large_module_has_a_dictionary() -> None:
    blocks = (b"FUNC %x 40 0 name::of<%d>(int)\n%s" % (64 * i, i, lines(20, 64 * i)) for i in range(30_000))
    text = b"".join(blocks)
    assert len(text) > convert.DICTIONARY_FROM
    module = converted(text)
    assert len(module.header.raw) > convert.DICTIONARY_SIZE
    assert len(module.file) < len(text) / 4
    assert b"".join(block + b"\n" for _, block in module.records(Section.SYMBOLS)) == text


def test_converter_uniform_text_has_no_dictionary() -> None:
    module = converted(b"FUNC 10 10 0 f\n" + b"\n" * convert.DICTIONARY_FROM)
    assert len(module.header.raw) < 1000
    assert len(module.records(Section.SYMBOLS)) == 1


# Properties of every file


def every_symbol(sym: bytes) -> Records:
    """Return the symbols of a file, read line by line."""
    found: Records = []
    for line in re.split(rb"\r?\n", sym.partition(b"\nSTACK ")[0].rstrip(b"\r")):
        if line.startswith((b"FUNC ", b"PUBLIC ")):
            fields = [field for field in line.split(b" ") if field != b"m"]
            found.append((int(fields[1], 16), line))
    return sorted(found, key=lambda record: record[0])


@given(sym_files())
@settings(deadline=None)
def test_converter_symbol_is_only_in_the_page_for_its_address(sym: bytes) -> None:
    module = Converted(sym)
    kept = [
        (key, line) for key, line in every_symbol(sym) if not re.match(rb"(?i)FUNC (m )?[0-9a-f]+ 0 ", line)
    ]
    heads = [(key, block.splitlines()[0]) for key, block in module.records(Section.SYMBOLS)]
    assert heads == kept
    assert module.header.metadata.symbols == len(kept)
    for key, _ in kept:
        number = module.header.page_for(Section.SYMBOLS, key)
        assert number is not None
        assert key in module.page(number).keys


@given(sym_files(), st.lists(st.integers(1, 400), min_size=1))
@settings(deadline=None)
def test_converter_any_chunks_give_the_same_page_file(sym: bytes, sizes: list[int]) -> None:
    chunks: list[bytes] = []
    begin = 0
    while begin < len(sym):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(sym[begin : begin + size])
        begin += size
    assert Converted(*chunks).file == Converted(sym).file


@pytest.mark.parametrize("window", [16, 100, 4096])
def test_converter_record_across_windows_is_found(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    text = (
        FILES
        + b"".join(b"FUNC %x 10 0 f%d\n%s" % (16 * i, i, lines(5)) for i in range(300))
        + b"PUBLIC ffff 0 p"
    )
    expected = symbols(text)
    monkeypatch.setattr(cutter, "WINDOW", window)
    assert symbols(text) == expected


PARTS = (*b"FUNC |PUBLIC |FILE |INLINE_ORIGIN |INLINE |STACK |MODULE |INFO |m |10 |0 |ffffffff ".split(b"|"),)
PARTS += (b"9" * 20 + b" ", b"-1 ", b"x", b"\n", b"\r\n", b"\0", b"\xff", b" ", b"FUNC 10 8 0 f\n10 4 1 0\n")
WORDS = st.sampled_from(PARTS)


@given(st.lists(WORDS).map(b"".join) | st.binary())
@settings(deadline=None, max_examples=500)
def test_converter_arbitrary_text_is_converted_or_malformed(text: bytes) -> None:
    try:
        module = converted(text)
    except Malformed:
        return
    for section in Section:
        assert all(len(block) <= len(text) for _, block in module.records(section))


# Frames of the scanned text, before the pages are written


def frames_of(file: Converted, offsets: Iterable[int]) -> dict[int, Frame | None]:
    """Return the frames that lookups in the finished page file give."""

    def file_name(number: int) -> str:
        page = file.header.page_for(Section.FILES, number)
        return "" if page is None else name(file.page(page), number)

    def origin_name(number: int) -> str:
        page = file.header.page_for(Section.ORIGINS, number)
        return "" if page is None else name(file.page(page), number)

    frames = {}
    for offset in offsets:
        page = file.header.page_for(Section.SYMBOLS, offset)
        hit = None if page is None else find(file.page(page), offset)
        frames[offset] = hit and frame(hit, file_name, origin_name)
    return frames


@given(sym_files(), st.sets(st.integers(0, 300), max_size=40), st.integers(0, 200))
@settings(max_examples=200)
def test_converter_frames_before_the_pages_are_those_of_the_page_file(
    sym: bytes, offsets: set[int], page_size: int
) -> None:
    with mock.patch.object(cutter, "PAGE_SIZE", page_size):
        file, early = Converted(sym), Converted(sym, offsets=offsets)
    assert early.frames == frames_of(file, offsets)
    assert list(early.frames) == sorted(offsets)
    assert early.file == file.file


@pytest.mark.parametrize("dictionary_from", [0, 1 << 30])
def test_converter_early_frames_do_not_change_the_form_of_calls(
    monkeypatch: pytest.MonkeyPatch, dictionary_from: int
) -> None:
    """The first INLINE record decides whether all of them are read, whichever is looked up first."""
    monkeypatch.setattr(cutter, "PAGE_SIZE", 1)
    monkeypatch.setattr(convert, "DICTIONARY_FROM", dictionary_from)
    old = b"FUNC 10 10 0 f\nINLINE 0 5 1 10 4\n10 4 7 7\n"
    new = b"FUNC 20 10 0 g\nINLINE 0 5 7 1 20 4\n20 4 8 7\n"
    for text in (MODULE + FILES + old + new, MODULE + FILES + old.replace(b"1 10", b"7 1 10") + new):
        file, early = Converted(text), Converted(text, offsets=[0x21])
        assert early.frames == frames_of(file, [0x21])
        assert early.file == file.file


def test_converter_early_frames_of_a_large_module_are_those_of_its_page_file() -> None:
    functions = b"".join(
        b"FUNC %x 10 0 f%d\nINLINE 0 %d 7 9 %x 4\n%x 10 %d 2\n" % (16 * n, n, n, 16 * n, 16 * n, n)
        for n in range(200_000)
    )
    offsets = [0, 3_199_999, 1_600_002, 3_200_000]
    text = MODULE + FILES + functions
    file, early = Converted(text), Converted(text, offsets=offsets)
    assert early.frames == frames_of(file, offsets)
    assert early.file == file.file


# Back to text

WHOLE = b"""\
MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 libx.so
INFO CODE_ID 5F60718293A4B5C6D7E8F9 libx.so.1
INFO GENERATOR dump 1.0
FILE 2 b.c
FILE 7 a.c
INLINE_ORIGIN 1 h
INLINE_ORIGIN 9 g()
FUNC m 10 20 0 f(int)
INLINE 0 5 7 9 10 4 18 8
INLINE 1 6 2 1 10 4
10 4 12 7
14 4 13 7
18 8 14 2
PUBLIC 30 0 p
FUNC 40 10 8 g
40 10 3 2
STACK CFI INIT 10 20 .cfa: $rsp 8 + .ra: .cfa -8 + ^
STACK CFI 11 .cfa: $rsp 16 +
STACK WIN 4 40 10 0 0 0 0 0 0 1 $T0 .raSearch =
"""


def test_text_of_a_page_file_is_that_of_its_symbol_file() -> None:
    assert Converted(WHOLE, with_cfi=True).text() == WHOLE
    assert Converted(WHOLE).text() == WHOLE[: WHOLE.index(b"STACK")]


def test_text_of_native_files_without_an_id_has_that_of_their_upload() -> None:
    module = Converted(b"MODULE Linux x86_64 000000000000000000000000000000000 a\nPUBLIC 1 0 p\n")
    header = Header.parse(module.header.raw)
    header.metadata = header.metadata._replace(native_id="AB" * 16 + "0")
    text = b"".join(symbol_file_text(header, module.read))
    assert text.startswith(b"MODULE Linux x86_64 " + b"AB" * 16 + b"0 a\n")


def test_text_sorts_records_and_cleans_paths() -> None:
    text = converted(b"FILE 1 /x/a/../b.c\nPUBLIC 20 0 second\nFUNC 10 4 0 first\n").text()
    assert text.endswith(b"FILE 1 /x/b.c\nFUNC 10 4 0 first\nPUBLIC 20 0 second\n")


@given(sym_files(), st.integers(0, 200))
@settings(deadline=None)
def test_text_gives_the_same_frames_again(sym: bytes, page_size: int) -> None:
    with mock.patch.object(cutter, "PAGE_SIZE", page_size), mock.patch.object(convert, "READ_BYTES", 100):
        first = Converted(sym, with_cfi=True)
        second = Converted(first.text(), with_cfi=True)
    assert frames_of(second, range(200)) == frames_of(first, range(200))
    assert second.records(Section.CFI) == first.records(Section.CFI)
    assert second.text() == first.text()


def test_text_of_a_page_file_that_is_replaced_meanwhile_is_not_found() -> None:
    first, second = converted(b"PUBLIC 1 0 first\n"), converted(b"PUBLIC 1 0 other\n")
    with pytest.raises(NotFound):
        list(symbol_file_text(first.header, second.read))


def test_text_of_a_malformed_page_raises() -> None:
    module = converted(b"FUNC 10 4 0 f\n10 4 1 0\n")
    ((start, end),) = [module.header.span(number) for number in module.header.pages(Section.SYMBOLS)]
    module.file = module.file[:start] + b"\0" * (end - start) + module.file[end:]
    with pytest.raises(MalformedPageFile):
        module.text()

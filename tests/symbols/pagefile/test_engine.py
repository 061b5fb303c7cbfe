"""The engine makes page files like the Python form, with packed blocks, and raises the same errors."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO
from unittest import mock

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.errors import Malformed, MalformedPageFile, TooLarge
from tecken.symbols import engine
from tecken.symbols.pagefile import cutter, line_runs, packed
from tecken.symbols.pagefile.convert import PageFileWriter
from tecken.symbols.pagefile.cutter import Cutter, EngineCutter
from tecken.symbols.pagefile.file import Header, Metadata, PageWriter, Section
from tecken.symbols.pagefile.page import encode
from tests.symbols.generate import sym_files
from tests.symbols.packing import PackingCutter, pack
from tests.symbols.pagefile.test_packed import address_of, blocks

MODULE = b"MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 libx.so\n"

# Bytes of text that the engine does not write to its spool file.
IN_MEMORY = 8 << 20

POSITION = st.integers(0, 2**16)
DAMAGE = st.tuples(POSITION, st.integers(0, 255))

pytestmark = pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built (make engine)")


def with_engine(spool: BinaryIO) -> Cutter:
    assert engine.MODULE
    return EngineCutter(engine.MODULE, spool)


def converted(chunks: Sequence[bytes], make: Callable[[BinaryIO], Cutter], spool: BinaryIO) -> Any:
    """Return all that a page file says, or the error."""
    pages = io.BytesIO()
    writer = PageFileWriter(spool, pages, make)
    try:
        for chunk in chunks:
            writer.feed(chunk)
        header = writer.finish()
    except (Malformed, TooLarge) as error:
        return type(error), str(error)
    file = header.raw + pages.getvalue()
    texts = {}
    for section in Section:
        for number in header.pages(section):
            page = header.open(file[slice(*header.span(number))])
            records = [(key, page.record(i)) for i, key in enumerate(page.keys)]
            texts[section, number] = (header.page_for(section, page.keys[0]), records)
    return texts, header.metadata, list(header.metadata.dropped), header.dictionary


def split(text: bytes, sizes: Sequence[int]) -> list[bytes]:
    chunks: list[bytes] = []
    begin = 0
    while begin < len(text):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(text[begin : begin + size])
        begin += size
    return chunks


def check_same(text: bytes, sizes: Sequence[int] = (1 << 30,)) -> Any:
    chunks = split(text, sizes)
    expected = converted(chunks, PackingCutter, io.BytesIO())
    assert converted(chunks, with_engine, io.BytesIO()) == expected
    with tempfile.TemporaryFile() as spool:
        assert converted(chunks, with_engine, spool) == expected
    return expected


SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=5)
BLANK = st.sampled_from((b" ", b" ", b" ", b"  ", b"\t", b"", b"\x0b", b"\r", b"\xa0"))
HEX = st.sampled_from(
    (b"0", b"10", b"18", b"1A", b"010", b"ffffffff", b"100000000", b"0x10", b"m", b"-1", b"_1")
)
NUMBER = HEX | st.sampled_from(
    (b"7", b"1" * 32, b"0" * 33, b"9" * 9, b"9" * 10, b"4294967295", b"4294967296")
)
LONG_NAME = b"n" * 8190 + "\u00e9\u00e9".encode() * 9
NAMES = (
    b"f(int)",
    b"a/../b.c",
    b"./x",
    b"C:\\y\\..\\z",
    b"//h/s/.",
    b"<stdin>",
    b"/<s>",
    b"\xff/..",
    b"\xc2\xa0p\x1f",
)
MORE_NAMES = (LONG_NAME, b"", b" ", b"..", b"a//b/", b"\\", b"\x01")
NAME = st.sampled_from(NAMES + MORE_NAMES) | st.binary(max_size=9).map(lambda name: name.replace(b"\n", b""))
WORD = st.sampled_from(
    (b"FUNC", b"PUBLIC", b"FILE", b"INLINE_ORIGIN", b"INLINE", b"STACK", b"MODULE", b"INFO", b"x", b"")
)
FIELD = st.builds(bytes.__add__, NUMBER, BLANK)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Generate one line that is nearly a record."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(WORD) + draw(BLANK) + b"".join(draw(st.lists(FIELD, max_size=7))) + draw(NAME)
    start, size = draw(st.tuples(st.integers(0, 40), st.integers(0, 16)))
    if kind == 1:
        return b"FUNC %b%x %x 0 " % (draw(st.sampled_from((b"", b"m "))), start, size) + draw(NAME)
    if kind == 2:
        return b"INLINE %d 3 1 2 %x %x" % (draw(st.sampled_from((0, 1, 2, 255, 256, 10**19))), start, size)
    if kind == 3:
        return draw(st.sampled_from((b"FILE ", b"INLINE_ORIGIN "))) + b"%d " % start + draw(NAME)
    if kind == 4:
        return b"PUBLIC %x 0 " % start + draw(NAME)
    return b"%x %x %d %d" % (start, size, size, start)


LINE_END = st.sampled_from((b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b" \n"))
TEXTS = st.lists(st.tuples(records(), LINE_END), max_size=30).map(
    lambda lines: b"".join(map(b"".join, lines))
)


@given(sym_files(), SIZES)
@settings(deadline=None, max_examples=100)
def test_engine_generated_file_gives_the_same_pages(sym: bytes, sizes: list[int]) -> None:
    check_same(sym, sizes)


@given(TEXTS, SIZES)
@settings(deadline=None, max_examples=400)
def test_engine_malformed_records_give_the_same_pages(text: bytes, sizes: list[int]) -> None:
    check_same(MODULE + text, sizes)


@given(st.binary() | TEXTS, st.sampled_from((b"", b"\n", b"MODULE a b c", b"MODULE a b 1 ")), SIZES)
@settings(deadline=None, max_examples=200)
def test_engine_arbitrary_text_gives_the_same_error(text: bytes, start: bytes, sizes: list[int]) -> None:
    check_same(start + text, sizes)


@given(TEXTS, SIZES, st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_engine_small_windows_and_pages_give_the_same_pages(
    text: bytes, sizes: list[int], window: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutter, "WINDOW", window)
        patch.setattr(cutter, "PAGE_SIZE", 64)
        check_same(MODULE + text, sizes)


@given(blocks())
@settings(deadline=None, max_examples=300)
def test_engine_packs_and_expands_blocks_as_python_does(block: bytes) -> None:
    assert engine.MODULE
    record = pack(block)
    assert record is not None
    assert engine.MODULE.pack(block) == record
    address = address_of(block)
    assert engine.MODULE.expand(record, address) == packed.expand(record, address)


@given(
    blocks(), st.lists(st.tuples(st.lists(DAMAGE, min_size=1, max_size=3), POSITION), min_size=1, max_size=9)
)
@settings(deadline=None, max_examples=150)
def test_engine_expands_damaged_records_as_python_does(
    block: bytes, damaged_records: list[tuple[list[tuple[int, int]], int]]
) -> None:
    """Each block is damaged in several ways: to generate one takes longer than all of them."""
    assert engine.MODULE
    record = pack(block) or b""
    for changes, end in damaged_records:
        damaged = bytearray(record)
        for at, value in changes:
            damaged[1 + at % (len(record) - 1)] = value
        damaged = damaged[: 1 + end % len(record)]
        try:
            expected = packed.expand(bytes(damaged), 0x1000)
        except MalformedPageFile:
            expected = None
        assert engine.MODULE.expand(bytes(damaged), 0x1000) == expected


def test_engine_large_module_gives_the_same_dictionary_and_pages() -> None:
    def lines(start: int) -> bytes:
        return b"".join(b"%x 3 %d %d\n" % (start + 3 * i, i, i % 9) for i in range(21))

    functions = (
        b"FUNC %x 40 0 name::of<%d>(int)\nINLINE 0 %d 3 %d %x 9\n%s"
        % (64 * i, i, i % 99, i % 7, 64 * i, lines(64 * i))
        for i in range(26_000)
    )
    names = b"".join(b"FILE %d src/./%d.c\nINLINE_ORIGIN %d name%d\n" % (i, i, i, i) for i in range(9))
    text = MODULE + names + b"".join(functions)
    assert len(text) > IN_MEMORY
    _, metadata, _, dictionary = check_same(text)
    assert metadata.symbols == 26_000
    assert dictionary


def test_engine_millions_of_records_are_refused() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tecken.symbols.formats.breakpad.MAX_RECORDS", 10)
        error, _ = check_same(MODULE + b"PUBLIC 1 0 p\n" * 12)
    assert error is TooLarge


def test_engine_full_disk_raises_an_error_of_the_system() -> None:
    with open("/dev/full", "r+b", buffering=0) as full:
        writer = PageFileWriter(full, io.BytesIO(), with_engine)
        with pytest.raises(OSError, match="No space"):
            writer.feed(MODULE + b"x\n" * (10 << 20))


# Back to text


def lines_of(records: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the lines of a page with these records: with the engine, and without it."""
    pages = io.BytesIO()
    writer = PageWriter(pages)
    writer.add(Section.SYMBOLS, 0, zstandard.compress(encode(range(0, 16 * len(records), 16), records)))
    header = writer.header(Metadata("", "", "", "", "", "", "", 0, 0, {}), b"")
    with_engine = header.symbol_lines(pages.getvalue())
    with mock.patch.object(engine, "MODULE", None):
        return with_engine, Header.parse(header.raw).symbol_lines(pages.getvalue())


LINE = st.lists(st.one_of(HEX, st.sampled_from((b"7", b"7\r", b"INLINE", b"FUNC"))), max_size=9).map(
    b" ".join
)
BLOCK = st.lists(st.one_of(LINE, st.binary(max_size=9)), max_size=5).map(b"\n".join)


@given(st.lists(BLOCK.filter(lambda block: not block.startswith(packed.PACKED)), max_size=4))
@settings(deadline=None)
def test_lines_of_any_text_are_the_same(records: list[bytes]) -> None:
    with_engine, without = lines_of(records)
    assert with_engine == without


@given(blocks())
@settings(deadline=None)
def test_lines_of_packed_blocks_are_those_of_their_text(block: bytes) -> None:
    record = pack(block) or block
    head = block.partition(b"\n")[0]
    address = address_of(block)
    pages = io.BytesIO()
    writer = PageWriter(pages)
    writer.add(Section.SYMBOLS, address, zstandard.compress(encode([address], [record])))
    header = writer.header(Metadata("", "", "", "", "", "", "", 0, 0, {}), b"")
    lines = header.symbol_lines(pages.getvalue())
    assert lines.partition(b"\n")[0] == head
    assert lines == line_runs.split(line_runs.join([block])[0]) + b"\n"


def test_lines_of_a_malformed_record_raise() -> None:
    with pytest.raises(MalformedPageFile, match="not a FUNC"):
        lines_of([b"\1\xff"])

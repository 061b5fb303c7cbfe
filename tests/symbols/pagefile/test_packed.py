from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols.pagefile.bounds import MAX_BLOCK
from tecken.symbols.pagefile.line_runs import join
from tecken.symbols.pagefile.packed import SLOTS, expand
from tests.symbols.generate import sym_files
from tests.symbols.packing import pack

HEAD = b"FUNC 1000 40 0 f(int)"
LAYOUT = b"\n".join(
    (
        HEAD,
        b"INLINE 0 20 7 3 1000 8",
        b"INLINE 1 30 8 4 1000 4 1010 2",
        b"1000 4 5 7",
        b"1004 4 6 7",
        b"1010 80 5 9",
    )
)


def address_of(block: bytes) -> int:
    return int(block.removeprefix(b"FUNC ").removeprefix(b"m ").split()[0], 16)


def packed(block: bytes) -> bytes:
    record = pack(block)
    assert record is not None
    return record


def test_pack_layout_is_as_documented() -> None:
    lines = b"\x1c\x04\x07\x05" + b"\x00\x04\x02" + b"\x1d\x10\x80\x01\x09\x05"
    inlines = b"\x04\x01\x1c\x06" + b"\x00\x01" + b"\x05\x02\x0e\x08\x1e\x02" + b"\x00\x00" + b"\x41\x02"
    assert pack(LAYOUT) == b"\x01\x40\x00f(int)\n\x03\x02" + lines + inlines


def test_pack_returns_at_line_ends_are_left_out() -> None:
    assert pack(LAYOUT.replace(b"\n", b"\r\n") + b"\r") == pack(LAYOUT)


@pytest.mark.parametrize(
    "block",
    [
        b"PUBLIC 10 0 p",
        b"FUNC 10 8 0",
        b"FUNC  10 8 0 f",
        b"FUNC 010 8 0 f",
        b"FUNC A0 8 0 f",
        HEAD + b"\n",
        HEAD + b"\n1000 4 5 7\n",
        HEAD + b"\n1000 4 -1 7",
        HEAD + b"\n1000 4 05 7",
        HEAD + b"\n1000 4 1000000000 7",
        HEAD + b"\nffffffff 1 5 7",
        HEAD + b"\n1000 4 5",
        HEAD + b"\nINLINE 0 20 7 3 1000",
        HEAD + b"\nINLINE 0 20 7 3",
        HEAD + b"\n1000 4 5 7\nINLINE 0 20 7 3 1000 4",
        HEAD + b"\nunknown",
        HEAD + b"\n1000 4 5 7 \n1004 4 5 7",
    ],
)
def test_pack_unusual_block_stays_text(block: bytes) -> None:
    assert pack(block) is None


NUMBER = st.sampled_from((0, 1, 2, 5, 9)) | st.integers(0, 10**9 - 1)
SIZE = st.integers(0, 9) | st.integers(0, 2**32 - 1)
STEP = st.sampled_from((0, 0, 0, 1, -1, 300, -300))
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\r\n")).map(str.encode)


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """Generate FUNC blocks as writers spell them, with records in any order and any overlap."""
    address = draw(st.integers(0, 2**31))
    records, places, end = [], [address], address
    for step, size, line, file in draw(st.lists(st.tuples(STEP, st.integers(0, 300), NUMBER, NUMBER))):
        start = max(0, end + step)
        end = start + size
        places += (start, end)
        records.append(b"%x %x %d %d" % (start, size, line, file))
    place = st.sampled_from(places) | st.integers(0, 2**32 - 1)
    calls = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER, st.lists(st.tuples(place, place | SIZE), min_size=1))
    inlines = [
        b"INLINE %d %d %d %d " % tuple(fields)
        + b" ".join(b"%x %x" % (a, b - a if b >= a else b) for a, b in ranges)
        for *fields, ranges in draw(st.lists(calls))
    ]
    multiple, size, parameters = draw(st.tuples(st.sampled_from((b"", b"m ")), SIZE, SIZE))
    head = b"FUNC %b%x %x %x %b" % (multiple, address, size, parameters, draw(NAME))
    return b"\n".join((head, *inlines, *records))


@given(blocks())
@settings(deadline=None, max_examples=300)
def test_expand_packed_block_gives_its_joined_text(block: bytes) -> None:
    record = packed(block)
    assert expand(record, address_of(block)) == join([block])[0]
    assert len(record) <= len(block)


@given(sym_files())
@settings(deadline=None)
def test_expand_generated_functions_give_their_joined_text(sym: bytes) -> None:
    text = sym.replace(b"\r", b"").partition(b"\nSTACK ")[0]
    for is_func, group in groupby(text.split(b"\nFUNC ")[1:], key=bool):
        for rest in group if is_func else ():
            block = (b"FUNC " + rest).partition(b"\nPUBLIC ")[0]
            record = pack(block)
            if record is not None:
                assert expand(record, address_of(block)) == join([block])[0]


def test_expand_more_files_than_slots_gives_all_of_them() -> None:
    lines = b"".join(b"\n%x 1 %d %d" % (0x1000 + i, i, i % (SLOTS + 2)) for i in range(99))
    assert expand(packed(HEAD + lines), 0x1000) == join([HEAD + lines])[0]


MALFORMED = {
    "nothing": b"\x01",
    "no name": b"\x01\x40\x00f",
    "no counts": b"\x01\x40\x00f\n",
    "missing line": b"\x01\x40\x00f\n\x01\x00",
    "rest": b"\x01\x40\x00f\n\x00\x00\x00",
    "cut number": b"\x01\x40\x00f\n\x00\x80",
    "number of a megabyte": b"\x01\x40\x00f\n" + b"\x80" * (1 << 20) + b"\x00",
    "long number": b"\x01\x40\x00f\n\x00" + b"\x80" * 10 + b"\x00",
    "large number": b"\x01\x40\x00f\n\x00" + b"\xff" * 9 + b"\x02",
    "large size": b"\x01\x80\x80\x80\x80\x10\x00f\n\x00\x00",
    "large parameters": b"\x01\x00\x80\x80\x80\x80\x20f\n\x00\x00",
    "no slot": b"\x01\x40\x00f\n\x01\x00\x00\x04\x00",
    "slot past the last": b"\x01\x40\x00f\n\x01\x00\x1e\x04\x00\x00",
    "start below 0": b"\x01\x40\x00f\n\x01\x00\x1d\xff\xff\x7f\x04\x00\x00",
    "range before the first line": b"\x01\x40\x00f\n\x01\x01\x1c\x04\x00\x00\x04\x00\x00\x00\x02\x00",
    "range past the last line": b"\x01\x40\x00f\n\x01\x01\x1c\x04\x00\x00\x04\x00\x00\x00\x00\x01",
    "depth below 0": b"\x01\x40\x00f\n\x00\x01\x00\x0e\x00\x00\x00\x01\x00",
    "too long": b"\x01\x40\x00" + b"f" * MAX_BLOCK + b"\n\x00\x00",
}


@pytest.mark.parametrize("record", MALFORMED.values(), ids=MALFORMED)
def test_expand_malformed_record_raises(record: bytes) -> None:
    with pytest.raises(MalformedPageFile):
        expand(record, 0x1000)


@given(st.binary().map(b"\x01".__add__))
@settings(max_examples=500)
def test_expand_arbitrary_bytes_are_text_or_malformed(record: bytes) -> None:
    try:
        assert expand(record, 0x1000).startswith(b"FUNC ")
    except MalformedPageFile:
        return

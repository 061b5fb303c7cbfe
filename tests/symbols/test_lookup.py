"""Lookups in pages. For malformed files the name of the test states the decision."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols.lookup import Frame, Hit, Inline, PageLookup, SourcePlace, find, frame, name
from tecken.symbols.pagefile.func_record import NOWHERE
from tecken.symbols.pagefile.page import Page, decode, encode


def page(*texts: bytes) -> Page:
    """Return a page of records, which are in the order of their addresses."""
    addresses = [text.removeprefix(b"FUNC ").removeprefix(b"PUBLIC ").removeprefix(b"m ") for text in texts]
    return decode(encode([int(address.split()[0], 16) for address in addresses], texts))


def found(symbols: Page, offset: int) -> str | None:
    hit = find(symbols, offset)
    return hit.function if hit else None


LINES = b"FUNC 10 20 0 f\n10 8 1 0\n18 8 2 0"
# Nothing covers the offsets from 18 on.
HANDS_BACK = b"FUNC 10 20 0 f\nINLINE 0 1 0 0 10 8\n10 8 1 0"


def test_find_func_covers_its_size_only() -> None:
    symbols = page(b"FUNC 10 10 0 f", b"FUNC 30 10 0 g")
    assert [found(symbols, at) for at in (0x10, 0x1F, 0x20, 0x2F, 0x30, 0x40)] == [
        "f",
        "f",
        None,
        None,
        "g",
        None,
    ]


def test_find_before_the_first_symbol_is_none() -> None:
    assert found(page(b"FUNC 10 10 0 f"), 0xF) is None
    assert found(page(), 0xF) is None


def test_find_public_covers_up_to_the_next_symbol() -> None:
    symbols = page(b"PUBLIC 10 0 p", b"PUBLIC m 20 0 q", b"FUNC 30 10 0 f", b"PUBLIC 40 0 r")
    assert [found(symbols, at) for at in (0xF, 0x1F, 0x2F, 0x30, 0x40)] == [None, "p", "q", "f", "r"]
    assert find(symbols, 0xFFFFFFFF) == Hit("r", 0x40, (NOWHERE,))


def test_find_from_4_gib_on_is_none() -> None:
    assert found(page(b"PUBLIC 10 0 p"), 1 << 32) is None


def test_find_func_precedes_public_at_its_address() -> None:
    assert found(page(b"PUBLIC 10 0 p", LINES), 0x10) == "f"
    assert found(page(LINES, b"PUBLIC 10 0 p"), 0x2F) == "f"


def test_find_publics_at_one_address_give_the_first() -> None:
    assert found(page(b"PUBLIC 10 0 p", b"PUBLIC 10 0 q"), 0x18) == "p"


def test_find_public_in_a_func_covers_up_to_the_next_boundary() -> None:
    symbols = page(LINES, b"PUBLIC 14 0 p")
    assert [found(symbols, at) for at in (0x13, 0x14, 0x17, 0x18, 0x2F)] == ["f", "p", "p", "f", "f"]


def test_find_public_at_a_boundary_is_hidden() -> None:
    assert found(page(LINES, b"PUBLIC 18 0 p"), 0x1F) == "f"


def test_find_public_in_the_gap_after_an_inlined_call_counts() -> None:
    symbols = page(HANDS_BACK, b"PUBLIC 18 0 p")
    assert [found(symbols, at) for at in (0x17, 0x18, 0x2F, 0x30)] == ["f", "p", "p", None]
    assert found(page(HANDS_BACK), 0x18) is None


def test_find_public_in_a_func_ends_with_it() -> None:
    assert found(page(b"FUNC 10 10 0 f", b"PUBLIC 14 0 p"), 0x20) is None
    assert found(page(b"FUNC 10 10 0 f", b"PUBLIC 20 0 p"), 0x20) == "p"


def test_find_overlapping_funcs_give_the_last_start() -> None:
    symbols = page(b"FUNC 10 30 0 outer", b"FUNC 18 8 0 inner")
    assert [found(symbols, at) for at in (0x17, 0x18, 0x1F, 0x20)] == ["outer", "inner", "inner", None]


@pytest.mark.parametrize(
    ("texts", "function"),
    [
        ((b"FUNC 10 10 0 a", b"FUNC 10 10 0 b"), "a"),
        ((b"FUNC 10 10 0 a\n10 8 1 0", b"FUNC 10 10 0 b"), "a"),
        ((b"FUNC 10 10 0 a", b"FUNC 10 10 0 b\n10 8 1 0"), "b"),
        ((b"FUNC 10 10 0 a\n10 8 1 0", b"PUBLIC 10 0 p", b"FUNC 10 10 0 b\n10 8 1 0"), "b"),
    ],
)
def test_find_funcs_at_one_address_give_the_last_with_lines(texts: tuple[bytes, ...], function: str) -> None:
    assert found(page(*texts), 0x18) == function


def test_find_unknown_record_is_malformed() -> None:
    with pytest.raises(MalformedPageFile):
        find(decode(encode([0x10], [b"FUNKY 10"])), 0x10)


def test_frame_hit_with_calls_has_all_names() -> None:
    hit = Hit("outer", 0x10, (SourcePlace(1, 11), SourcePlace(2, 22), SourcePlace(3, 33)), (7, 8))
    files = {1: "a/deep.h", 2: "middle.h", 3: "outer.c"}
    origins = {7: "deep", 8: "middle"}
    assert frame(hit, files.__getitem__, origins.__getitem__) == Frame(
        "outer", 0x10, "outer.c", 33, (Inline("deep", "a/deep.h", 11), Inline("middle", "middle.h", 22))
    )


def test_frame_without_file_looks_up_no_name() -> None:
    nothing: dict[int, str] = {}
    assert frame(Hit("f", 1, (NOWHERE,)), nothing.__getitem__, nothing.__getitem__) == Frame("f", 1, "", 0)


def test_name_of_a_number_is_its_last_record() -> None:
    names = decode(encode([1, 3, 3], [b"one", b"old", b"n\xc3\xa9w \xff"]))
    assert [name(names, number) for number in (0, 1, 2, 3, 4)] == ["", "one", "", "néw \ufffd", ""]


MAIN = b"FUNC 1000 156 0 main\n1012 18 57 0\n1042 12 60 0"
SHORT = b"FUNC 1000 15 0 dtor\n100f 6 37 0"


@pytest.mark.parametrize("records", [(MAIN, SHORT), (MAIN, SHORT, b"FUNC 1000 4 0 tiny\n1000 4 1 0")])
def test_find_longer_func_at_an_address_covers_its_rest(records: tuple[bytes, ...]) -> None:
    symbols = page(*records)
    assert [found(symbols, at) for at in (0x1010, 0x1015, 0x1045, 0x1155, 0x1156)] == [
        "dtor",
        "main",
        "main",
        "main",
        None,
    ]


def test_find_public_in_the_longest_func_ends_with_it() -> None:
    symbols = page(MAIN, SHORT, b"PUBLIC 1100 0 p", b"PUBLIC 1160 0 q")
    assert [found(symbols, at) for at in (0x1101, 0x1157, 0x1161)] == ["p", None, "q"]


def test_frame_call_without_name_is_unknown() -> None:
    hit = Hit("outer", 0x10, (SourcePlace(1, 11), SourcePlace(2, 22)), (7,))
    names = {1: "a.c", 2: "b.c", 7: ""}
    assert frame(hit, names.__getitem__, names.__getitem__).inlines == (Inline("<unknown>", "a.c", 11),)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.randoms())
def test_finder_any_order_of_offsets_gives_the_same_hits(offsets: list[int], chance: Random) -> None:
    symbols = page(
        b"PUBLIC 2 0 a",
        b"FUNC 4 10 0 f\n4 8 1 0",
        b"FUNC 4 4 0 short\n4 4 1 0",
        b"PUBLIC 8 0 b",
        b"PUBLIC 8 0 c",
        b"FUNC 18 4 0 g",
        b"PUBLIC 20 0 d",
        b"PUBLIC 24 0 e",
    )
    chance.shuffle(offsets)
    finder = PageLookup(symbols)
    for offset in offsets:
        assert finder.find(offset) == find(symbols, offset)

"""Lookups in one FUNC block. For malformed blocks the name of the test states the decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols.pagefile.func_record import MAX_SEARCHED_TEXT, NOWHERE, Block, Hit, SourcePlace

GAPS = b"""\
FUNC 1000 100 0 outer
INLINE 0 7 1 5 1020 20
INLINE 1 8 2 6 1028 8
1010 8 1 0
1020 8 2 1
1028 4 3 2
1050 8 4 0
"""


def locate(text: bytes, offset: int) -> Hit | None:
    """Return a hit without its size, which all hits of a block share."""
    hit = Block(text).locate(offset)
    return hit and hit._replace(size=0)


def site(text: bytes, offset: int) -> SourcePlace | None:
    hit = locate(text, offset)
    return hit.sites[0] if hit else None


def test_block_before_its_lines_gives_the_function() -> None:
    assert locate(GAPS, 0x1000) == Hit("outer", 0x1000, (NOWHERE,))


def test_block_line_gives_its_place() -> None:
    assert locate(GAPS, 0x1017) == Hit("outer", 0x1000, (SourcePlace(0, 1),))


def test_block_gap_after_a_line_belongs_to_it() -> None:
    assert site(GAPS, 0x1018) == site(GAPS, 0x101F) == SourcePlace(0, 1)
    assert site(GAPS, 0x10FF) == SourcePlace(0, 4)


def test_block_inlined_calls_add_their_places() -> None:
    assert locate(GAPS, 0x1020) == Hit("outer", 0x1000, (SourcePlace(1, 2), SourcePlace(1, 7)), (5,))
    assert locate(GAPS, 0x1028) == Hit(
        "outer", 0x1000, (SourcePlace(2, 3), SourcePlace(2, 8), SourcePlace(1, 7)), (6, 5)
    )


def test_block_without_line_gives_the_deepest_call() -> None:
    assert locate(GAPS, 0x102C) == Hit("outer", 0x1000, (SourcePlace(2, 8), SourcePlace(1, 7)), (5,))
    assert locate(GAPS, 0x1030) == Hit("outer", 0x1000, (SourcePlace(1, 7),))


def test_block_gap_after_an_inlined_call_is_none() -> None:
    assert locate(GAPS, 0x1040) is None
    assert locate(GAPS, 0x104F) is None


def test_block_gap_after_calls_without_lines_belongs_to_them() -> None:
    assert site(b"FUNC 0 40 0 f\nINLINE 0 7 1 5 10 10\n0 8 1 0", 0x30) == SourcePlace(1, 7)


def test_block_nested_call_without_line_is_content() -> None:
    assert locate(b"FUNC 0 40 0 f\nINLINE 0 7 1 5 10 10\nINLINE 1 8 1 5 10 4", 0x30) is None


def test_block_boundaries_are_starts_and_returns() -> None:
    block = Block(GAPS)
    places = sorted({block.boundary(offset) for offset in range(block.start, block.end)})
    assert places == [0x1000, 0x1010, 0x1020, 0x1028, 0x102C, 0x1030, 0x1040, 0x1050]


def test_block_inlined_call_over_several_callers_is_found() -> None:
    text = b"FUNC 0 20 0 f\nINLINE 0 1 0 1 0 10\nINLINE 1 9 0 3 8 10\nINLINE 0 2 0 2 10 10\n0 20 5 0"
    assert locate(text, 0xC) == Hit("f", 0, (SourcePlace(0, 5), SourcePlace(0, 9), SourcePlace(0, 1)), (3, 1))
    assert locate(text, 0x10) == Hit(
        "f", 0, (SourcePlace(0, 5), SourcePlace(0, 9), SourcePlace(0, 2)), (3, 2)
    )


def test_block_more_than_a_hundred_depths_are_found() -> None:
    calls = b"".join(b"\nINLINE %d %d 0 %d 0 10" % (depth, depth, depth) for depth in range(120))
    hit = locate(b"FUNC 0 10 0 f" + calls + b"\n0 10 5 0", 3)
    assert hit is not None
    assert hit.origins == tuple(range(119, -1, -1))


def test_block_joined_line_records_are_found() -> None:
    text = b"FUNC 0 20 0 f\n0 4 1 0 4 2 9 c -3 1\n14 1 4 0 2 5 0"
    assert [site(text, offset) for offset in (3, 4, 0x13, 0x15)] == [
        SourcePlace(0, 1),
        SourcePlace(9, 2),
        SourcePlace(1, 0),
        SourcePlace(0, 5),
    ]


def test_block_records_in_any_order_are_found() -> None:
    head, *records = GAPS.splitlines()
    for i in range(len(records)):
        text = b"\n".join([head, *records[i:], *reversed(records[:i])])
        for offset in range(0x1000, 0x1100):
            assert locate(text, offset) == locate(GAPS, offset)


@pytest.mark.parametrize(
    ("head", "function", "end"),
    [
        (b"FUNC 1f 10 0 f", "f", 0x2F),
        (b"FUNC m 1F 1A 8 operator new(unsigned long)", "operator new(unsigned long)", 0x39),
        (b"FUNC 1f 10 0 ", "<unknown>", 0x2F),
        (b"FUNC 1f 10 0", "<unknown>", 0x2F),
        (b"FUNC 1f 10", "<unknown>", 0x2F),
        (b"FUNC 1f 10 0 m", "m", 0x2F),
        (b"FUNC 1f 10 0 na\xc3\xafve \r", "na\xefve", 0x2F),
        (b"FUNC 1f 10 0 not \xff UTF-8", "not \ufffd UTF-8", 0x2F),
    ],
)
def test_block_head_gives_function_and_end(head: bytes, function: str, end: int) -> None:
    block = Block(head)
    assert (block.function, block.start, block.end) == (function, 0x1F, end)


@pytest.mark.parametrize("text", [b"", b"FUNC", b"FUNC m", b"FUNC 10", b"FUNC xyz 10 0 f", b"FUNC 10 - 0 f"])
def test_block_without_func_record_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedPageFile):
        Block(text)


def test_block_unusual_spelling_is_accepted() -> None:
    text = b"FUNC ABC 20 0 f\r\nINLINE 0 1 2 3 ABC 8\r\nABC 8 -5 1\r\n\r\nAC4 8 6 1\r\n"
    assert locate(text, 0xABF) == Hit("f", 0xABC, (SourcePlace(1, 0), SourcePlace(2, 1)), (3,))
    assert site(text, 0xACB) == SourcePlace(1, 6)


def test_block_addresses_with_one_digit_more_are_found() -> None:
    text = b"FUNC ff0 40 0 f\nINLINE 0 1 2 3 ff8 20\nff0 8 4 0\nff8 20 5 0\n1018 8 6 0"
    assert locate(text, 0x1010) == Hit("f", 0xFF0, (SourcePlace(0, 5), SourcePlace(2, 1)), (3,))


def test_block_records_of_size_0_are_ignored() -> None:
    assert site(b"FUNC 0 10 0 f\nINLINE 0 1 2 3 4 0\n0 4 1 0\n4 0 9 0\n4 4 2 0", 5) == SourcePlace(0, 2)


def test_block_line_over_the_end_is_cut() -> None:
    assert Block(b"FUNC 0 10 0 f\n8 100 1 0").boundary(0xF) == 8
    assert site(b"FUNC 0 10 0 f\n8 100 1 0", 0xF) == SourcePlace(0, 1)


def test_block_records_before_its_start_are_ignored() -> None:
    assert locate(b"FUNC 10 10 0 f\nINLINE 0 1 2 3 0 20\n0 20 1 0", 0x18) == Hit("f", 0x10, (NOWHERE,))


def test_block_unknown_lines_are_skipped() -> None:
    junk = b"\nINLINE\nINLINE 0\nINLINE 0 x 1 2 0 40\nINLINE 0 1 2 3 zz 40\nhello\n\n0 zz 1 1\n0 40 1\n\xff"
    assert site(b"FUNC 0 40 0 f" + junk + b"\n0 8 1 0" + junk + b"\n8 8 2 0" + junk, 9) == SourcePlace(0, 2)


def test_block_overlapping_lines_give_the_last_start() -> None:
    text = b"FUNC 0 40 0 f\n0 40 1 0\n10 8 2 0"
    assert [site(text, offset) for offset in (8, 0x14, 0x20)] == [
        SourcePlace(0, 1),
        SourcePlace(0, 2),
        SourcePlace(0, 1),
    ]


def test_block_overlapping_calls_give_the_last_record() -> None:
    hit = locate(b"FUNC 0 40 0 f\nINLINE 0 1 0 1 0 20\nINLINE 0 2 0 2 10 20\n0 40 3 0", 0x18)
    assert hit is not None
    assert hit.origins == (2,)


def test_block_inlined_call_without_caller_is_ignored() -> None:
    assert locate(b"FUNC 0 40 0 f\nINLINE 1 1 0 1 0 20\n0 40 3 0", 8) == Hit("f", 0, (SourcePlace(0, 3),))


def test_block_inlined_call_starting_early_counts_in_its_caller() -> None:
    hit = locate(b"FUNC 0 40 0 f\nINLINE 1 1 0 1 0 20\nINLINE 0 2 0 2 10 20\n0 40 3 0", 0x18)
    assert hit is not None
    assert hit.origins == (1, 2)


RECORD_BYTES = st.sampled_from(
    [b"INLINE", b"0", b"1", b"8", b"10", b"-1", b"zz", b"\xff", b" ", b" ", b"\n", b"\r\n", b"\t"]
)


@given(st.lists(RECORD_BYTES, max_size=60).map(b"".join), st.integers(0, 0x3F))
def test_block_arbitrary_text_never_raises(text: bytes, offset: int) -> None:
    block = Block(b"FUNC 0 40 0 f\n" + text)
    hit = block.locate(offset)
    assert hit is None or len(hit.sites) == len(hit.origins) + 1
    assert block.boundary(offset) <= offset


@given(st.lists(RECORD_BYTES, max_size=80).map(b"".join), st.lists(st.integers(0, 0x3F), min_size=6))
def test_block_repeated_lookups_give_the_same_hits(text: bytes, offsets: list[int]) -> None:
    block = Block(b"FUNC 0 40 0 f\n" + text)
    for offset in offsets:
        assert block.locate(offset) == Block(b"FUNC 0 40 0 f\n" + text).locate(offset)


WORDS = st.integers(0, 0x50).map(lambda number: b"%x" % number)
CALL = st.tuples(st.integers(0, 2), WORDS, WORDS, st.integers(1, 9)).map(
    lambda call: b"INLINE %d %d 0 %d %b %b" % (call[0], call[3], call[3], call[1], call[2])
)
LINE = st.tuples(WORDS, WORDS, st.integers(1, 9)).map(lambda line: b"%b %b %d 0" % line)


@given(st.lists(CALL | LINE, max_size=12), st.integers(0, 0x3F))
def test_parsed_block_agrees_with_the_text(records: list[bytes], at: int) -> None:
    block = Block(b"\n".join([b"FUNC 0 40 0 f", *records]))
    expected = block.locate(at)
    for offset in range(0x40):
        block.locate(offset)
    assert block.locate(at) == expected


def test_block_line_number_past_32_bits_is_unknown() -> None:
    assert site(b"FUNC 0 40 0 f\n0 40 %d 7" % (1 << 32), 3) == SourcePlace(7, 0)
    hit = locate(b"FUNC 0 40 0 f\nINLINE 0 %d 3 1 0 40\n0 40 5 7" % (1 << 70), 3)
    assert hit is not None
    assert hit.sites == (SourcePlace(7, 5), SourcePlace(3, 0))


def test_block_run_of_any_length_is_searched() -> None:
    text = b"FUNC 0 100000 0 f\n0" + b"".join(b" 1 %d 7" % (i % 9 + 1) for i in range(20_000))
    assert [site(text, offset) for offset in (0, 5, 19_999)] == [
        SourcePlace(7, 1),
        SourcePlace(7, 6),
        SourcePlace(7, 2),
    ]


def test_block_hit_has_the_size_of_the_function() -> None:
    hit = Block(b"FUNC 10 9a 0 f\n10 9a 1 0").locate(0x20)
    assert hit is not None
    assert hit.size == 0x9A
    assert hit.without_places() == Hit("f", 0x10, (NOWHERE,), (), 0x9A)


def test_block_longer_than_any_function_is_parsed_and_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Block, "_bisect")
    text = b"FUNC 0 100000 0 f\n0" + b" 1 7 7" * (MAX_SEARCHED_TEXT // 6)
    assert Block(text).locate(19_999) == Hit("f", 0, (SourcePlace(7, 7),), (), 0x100000)

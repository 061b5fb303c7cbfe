from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.symbols.pagefile.line_runs import RUN, join, split

HEAD = b"FUNC 4cbb7f 47 0 f(int)"


def joined(lines: bytes) -> bytes:
    [block] = join([HEAD + b"\n" + lines])
    return block.removeprefix(HEAD + b"\n")


def records_of(block: bytes) -> list[tuple[bytes, ...]]:
    """Return each line record of a block, as numbers where it has four."""
    records: list[tuple[bytes, ...]] = []
    for line in block.split(b"\n")[1:]:
        address, *fields = line.split() or [b""]
        while len(fields) >= 3:
            records.append((b"%x" % int(address, 16), *fields[:3]))
            address, fields = b"%x" % (int(address, 16) + int(fields[0], 16)), fields[3:]
    return records


def test_join_adjacent_lines_become_one_run() -> None:
    assert (
        joined(b"4cbb7f 4 138 83\n4cbb83 5 139 83\n4cbb88 2 138 83") == b"4cbb7f 4 138 83 5 139 83 2 138 83"
    )


@pytest.mark.parametrize(
    "second", [b"12 4 2 0", b"15 4 2 0", b"f 4 2 0"], ids=["overlap", "gap", "step back"]
)
def test_join_line_after_a_gap_begins_a_run(second: bytes) -> None:
    assert joined(b"10 4 1 0\n" + second) == b"10 4 1 0\n" + second


def test_join_run_has_at_most_16_lines() -> None:
    lines = b"\n".join(b"%x 1 7 0" % i for i in range(0x100, 0x100 + 2 * RUN))
    assert joined(lines) == b"100" + b" 1 7 0" * RUN + b"\n%x" % (0x100 + RUN) + b" 1 7 0" * RUN


def test_join_addresses_of_different_width_are_joined() -> None:
    assert joined(b"ff 1 1 0\n100 8 2 0\n00108 1 3 0") == b"ff 1 1 0 8 2 0 1 3 0"


def test_join_blocks_stay_separate() -> None:
    blocks = [
        b"FUNC 10 4 0 f\n10 4 1 0",
        b"PUBLIC 14 0 p",
        b"FUNC 14 4 0 g\n14 2 1 0\n16 2 2 0",
        b"FUNC 18 1 0 h",
    ]
    assert join(blocks) == [*blocks[:2], b"FUNC 14 4 0 g\n14 2 1 0 2 2 0", blocks[3]]


def test_join_inline_records_are_unchanged() -> None:
    inline = b"INLINE 0 156 21 38 4cbaa1 4 4cbaa8 73\nINLINE 1 103 21 39 4cbaa1 4\n"
    assert joined(inline + b"10 4 1 0\n14 4 2 0") == inline + b"10 4 1 0 4 2 0"


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"10 4 1\n14 4 2 0",
        b"10 4 1 0\n\n14 4 2 0",
        b"10 4 1 0\n14 4 2 0\n",
        b"+10 4 1 0\n14 4 2 0",
        b"10 4_0 1 0\n50 4 2 0",
        b"100000000 4 1 0\n100000004 4 2 0",
        b"0000000000000010 4 1 0\n0000000000000014 4 2 0",
        b"fffffff0 100 1 0\nf0 4 2 0",
        b"what is this line\n14 4 2 0",
        b"10 4 1 0\n10   ",
    ],
)
def test_join_unusual_block_is_unchanged(lines: bytes) -> None:
    usual = b"FUNC 10 8 0 f\n10 4 1 0\n14 4 2 0"
    shorter = b"FUNC 10 8 0 f\n10 4 1 0 4 2 0"
    assert join([usual, HEAD + b"\n" + lines, usual]) == [shorter, HEAD + b"\n" + lines, shorter]


def test_join_missing_and_surplus_fields_do_not_meet_in_the_next_block() -> None:
    blocks = [b"FUNC 10 8 0 f\n10 5  7", b"FUNC 20 8 0 g\n2\r0 5 1 7"]
    assert join(blocks) == blocks


LINES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 0x2000), st.integers(-1, 9), st.integers(0, 9)))


@given(st.lists(st.tuples(st.integers(0, 2**33), LINES), max_size=5))
def test_join_generated_blocks_keep_their_records(
    functions: list[tuple[int, list[tuple[int, int, int, int]]]],
) -> None:
    blocks = []
    for address, lines in functions:
        block, place = [b"FUNC %x 8 0 f" % address], address
        for gap, size, line, file in lines:
            block.append(b"%x %x %d %d" % (place + gap // 3, size, line, file))
            place += gap // 3 + size
        blocks.append(b"\n".join(block))
    shorter = join(blocks)
    assert list(map(records_of, shorter)) == list(map(records_of, blocks))
    assert sum(map(len, shorter)) <= sum(map(len, blocks))
    if all(int(address) < 2**31 for address, _ in functions):
        assert list(map(split, shorter)) == blocks


@pytest.mark.parametrize(
    "line",
    [
        b"INLINE 0 156 21 38 4cbaa1 4 4cbaa8 73",
        b"10 4 1 0 4",
        b"10 4 1 0 4 2",
        b"10  4 1 0",
        b"10",
        b"",
        b"g 4 1 0",
        b"10 -4 1 0 4 2 0",
        b"100000000 4 1 0 4 2 0",
    ],
)
def test_split_other_lines_are_unchanged(line: bytes) -> None:
    block = HEAD + b"\n" + line + b"\n10 4 1 0"
    assert split(block) == block


def test_split_head_is_never_a_run() -> None:
    assert split(b"10 4 1 0 4 2 0\n10 4 1 0 4 2 0") == b"10 4 1 0 4 2 0\n10 4 1 0\n14 4 2 0"


def test_split_last_address_may_pass_32_bits() -> None:
    assert split(b"\nFFFFFFFF 8 1 0 8 2 0") == b"\nffffffff 8 1 0\n100000007 8 2 0"

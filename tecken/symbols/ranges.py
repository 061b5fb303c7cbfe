"""Ranges of module offsets in a FUNC block: line records and inlined calls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import Final, NamedTuple

# The largest line number that is shown. Breakpad has 32 bits for it, and JSON numbers have 64.
MAX_LINE_NUMBER: Final = (1 << 32) - 1


class Site(NamedTuple):
    """A place in source code: the number of a FILE record (-1: none) and a line (0: unknown)."""

    file: int
    line: int


NOWHERE = Site(-1, 0)


class Range(NamedTuple):
    """Module offsets, `end` excluded, of a line record, or of an inlined call and the place of the call."""

    start: int
    end: int
    site: Site
    origin: int = -1
    depth: int = -1


class Cover:
    """Ranges that can be searched by offset. Where some overlap, the last one given counts.

    Building takes n log n steps and a search log n, whatever the overlaps: a linear search would make each
    lookup in a large block cost as much as parsing it.
    """

    __slots__ = ("_ranges", "_starts")

    def __init__(self, ranges: Sequence[Range]) -> None:
        pieces: Sequence[tuple[int, Range]]
        if all(first.end <= second.start for first, second in pairwise(ranges)):
            pieces = [(found.start, found) for found in ranges]
        else:
            pieces = list(_pieces(ranges))
        self._starts = [start for start, _ in pieces]
        self._ranges = [found for _, found in pieces]

    def at(self, offset: int) -> Range | None:
        """Return the range that covers `offset`."""
        piece = bisect_right(self._starts, offset) - 1
        if piece >= 0 and offset < self._ranges[piece].end:
            return self._ranges[piece]
        return None


def _pieces(ranges: Sequence[Range]) -> Iterator[tuple[int, Range]]:
    """Yield from where on which range counts, in order. A range ends a piece by its own end."""
    order = sorted(range(len(ranges)), key=lambda i: ranges[i].start)
    edges = sorted({edge for found in ranges for edge in (found.start, found.end)})
    open_ranges: list[int] = []
    next_one = 0
    for edge in edges:
        while next_one < len(order) and ranges[order[next_one]].start <= edge:
            heappush(open_ranges, -order[next_one])
            next_one += 1
        while open_ranges and ranges[-open_ranges[0]].end <= edge:
            heappop(open_ranges)
        if open_ranges:
            yield edge, ranges[-open_ranges[0]]


def site_of(file: bytes, line: bytes) -> Site:
    """Raise ValueError for what is no number. A line below 0 or above 32 bits is unknown."""
    number = int(line)
    return Site(int(file), number if 0 < number <= MAX_LINE_NUMBER else 0)


def line_ranges(fields: Sequence[bytes]) -> Iterator[Range]:
    """Yield each line record of those that follow on each other; none when they are something else."""
    if len(fields) % 3 != 1:
        return
    try:
        end = int(fields[0], 16)
        for size, line, file in zip(fields[1::3], fields[2::3], fields[3::3], strict=True):
            start, end = end, end + int(size, 16)
            yield Range(start, end, site_of(file, line))
    except ValueError:
        return


def inline_ranges(record: bytes) -> Iterator[Range]:
    """Yield each range of the INLINE record that `record` begins with, given without its first word.

    A range that cannot be read is left out, and so is a record whose depth is not spelt as Breakpad does.
    """
    depth, _, rest = record.partition(b"\n")[0].partition(b" ")
    fields = rest.split()
    try:
        number, origin, site = int(depth), int(fields[2]), site_of(fields[1], fields[0])
    except (ValueError, IndexError):
        return
    if depth != b"%d" % number:
        return
    for address, size in zip(fields[3::2], fields[4::2], strict=False):
        try:
            start = int(address, 16)
            yield Range(start, start + int(size, 16), site, origin, number)
        except ValueError:
            continue

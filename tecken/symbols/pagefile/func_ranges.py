"""Parsed form of a FUNC block: the ranges of module offsets of line records and inlined calls.

Source: that of `tecken.symbols.formats`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

# Longest field that counts as a number in a line or INLINE record. Without a bound, adding up the sizes of a
# run would take time in proportion to the square of its length.
MAX_FIELD: Final = 24

# The largest line number that is shown. Symbol files have 32 bits for it, and JSON numbers have 64.
MAX_LINE_NUMBER: Final = (1 << 32) - 1


class SourcePlace(NamedTuple):
    """Place in source code: the number of a FILE record (-1: none) and a line (0: unknown)."""

    file: int
    line: int


NOWHERE = SourcePlace(-1, 0)


class Range(NamedTuple):
    """Module offsets [start, end) of a line record, or of an inlined call; `site` is the line or the call."""

    start: int
    end: int
    site: SourcePlace
    origin: int = -1
    depth: int = -1


class Cover:
    """Index of ranges by offset. Where ranges overlap, the last one given counts.

    Construction takes n log n steps and a search log n, whatever the overlaps. With a linear search, each
    lookup in a large block would cost as much as parsing it.
    """

    __slots__ = ("_ranges", "_starts")

    def __init__(self, ranges: Sequence[Range]) -> None:
        pieces: Sequence[tuple[int, Range]]
        if all(first.end <= second.start for first, second in pairwise(ranges)):
            pieces = [(item.start, item) for item in ranges]
        else:
            pieces = list(_pieces(ranges))
        self._starts = [start for start, _ in pieces]
        self._ranges = [item for _, item in pieces]

    def at(self, offset: int) -> Range | None:
        """Return the range that covers `offset`."""
        piece = bisect_right(self._starts, offset) - 1
        if piece >= 0 and offset < self._ranges[piece].end:
            return self._ranges[piece]
        return None


def _pieces(ranges: Sequence[Range]) -> Iterator[tuple[int, Range]]:
    """Yield the start of each piece and the range that counts in it, in order.

    A piece ends at the next one, or at the end of its range.
    """
    order = sorted(range(len(ranges)), key=lambda i: ranges[i].start)
    edges = sorted({edge for item in ranges for edge in (item.start, item.end)})
    # A heap of negative positions: its first item is the last given of the ranges that are open at the edge.
    open_ranges: list[int] = []
    opened = 0
    for edge in edges:
        while opened < len(order) and ranges[order[opened]].start <= edge:
            heappush(open_ranges, -order[opened])
            opened += 1
        while open_ranges and ranges[-open_ranges[0]].end <= edge:
            heappop(open_ranges)
        if open_ranges:
            yield edge, ranges[-open_ranges[0]]


def site_of(file: bytes, line: bytes) -> SourcePlace:
    """Return the place in two fields. A line below 0 or above 32 bits is unknown. Raises ValueError."""
    if len(line) > MAX_FIELD or len(file) > MAX_FIELD:
        raise ValueError("a number is too long")
    number = int(line)
    return SourcePlace(int(file), number if 0 < number <= MAX_LINE_NUMBER else 0)


def line_ranges(fields: Sequence[bytes]) -> Iterator[Range]:
    """Yield the line records in the fields of a run (see `line_runs`), none when it is something else."""
    if len(fields) % 3 != 1 or max(map(len, fields)) > MAX_FIELD:
        return
    try:
        end = int(fields[0], 16)
        for size, line, file in zip(fields[1::3], fields[2::3], fields[3::3], strict=True):
            start, end = end, end + int(size, 16)
            yield Range(start, end, site_of(file, line))
    except ValueError:
        return


def inline_ranges(record: bytes) -> Iterator[Range]:
    """Yield each range of the INLINE record at the start of `record`, which lacks its first word.

    A range that cannot be read is left out, and so is a record whose depth is not spelt as writers do.
    """
    depth, _, rest = record.partition(b"\n")[0].partition(b" ")
    fields = rest.split()
    try:
        number, origin, site = _short(depth, 10), _short(fields[2], 10), site_of(fields[1], fields[0])
    except (ValueError, IndexError):
        return
    if depth != b"%d" % number:
        return
    for address, size in zip(fields[3::2], fields[4::2], strict=False):
        try:
            start = _short(address, 16)
            yield Range(start, start + _short(size, 16), site, origin, number)
        except ValueError:
            continue


def _short(field: bytes, base: int) -> int:
    if len(field) > MAX_FIELD:
        raise ValueError("a number is too long")
    return int(field, base)


class ParsedBlock:
    """Records of the block [start, end). Those of size 0, or that start outside the block, are ignored."""

    def __init__(self, text: bytes, start: int, end: int) -> None:
        self._text = text
        self._start = start
        self._end = end

    @cached_property
    def lines(self) -> list[Range]:
        """Line records in order, cut at the end of the block."""
        records = (line for run in self._text.split(b"\n")[1:] for line in line_ranges(run.split()))
        inside = [line for line in records if self._start <= line.start < min(line.end, self._end)]
        return sorted(line._replace(end=min(line.end, self._end)) for line in inside)

    def line_at(self, offset: int) -> Range | None:
        """Return the line record that covers `offset`; of several, the one that starts last."""
        return self._line_cover.at(offset)

    def calls_at(self, offset: int) -> list[Range]:
        """Return the inlined calls that cover `offset`, outermost first, up to a depth without one."""
        calls: list[Range] = []
        for cover in self._depths:
            call = cover.at(offset)
            if call is None:
                break
            calls.append(call)
        return calls

    def site_in_gap(self, offset: int) -> SourcePlace | None:
        """Return the place of an offset that neither a line nor an inlined call covers.

        It is that of the line before. None: an inlined call ended after that line, so the place is unknown.
        """
        line = bisect_right(self._line_starts, offset) - 1
        call = bisect_right(self._outer_starts, offset) - 1
        before = self.lines[line] if line >= 0 else None
        if call >= 0:
            if not self._calls_have_content:
                before = max(before, self._outer[call]) if before else self._outer[call]
            elif before is None or before.end <= self._outer_ends[call]:
                return None
        return before.site if before else NOWHERE

    def boundary(self, offset: int) -> int:
        """Return the last offset up to `offset` where a line or call starts, or returns to its caller."""
        place = bisect_right(self._boundaries, offset) - 1
        return self._boundaries[place] if place >= 0 else self._start

    @cached_property
    def _inlines(self) -> list[Range]:
        """Ranges of inlined calls, in the order of the text."""
        return [
            inline
            for record in self._text.split(b"\nINLINE ")[1:]
            for inline in inline_ranges(record)
            if self._start <= inline.start < min(inline.end, self._end)
        ]

    @cached_property
    def _depths(self) -> list[Cover]:
        by_depth: defaultdict[int, list[Range]] = defaultdict(list)
        for inline in self._inlines:
            by_depth[inline.depth].append(inline)
        return list(self._covers(by_depth))

    def _covers(self, by_depth: dict[int, list[Range]]) -> Iterator[Cover]:
        """Yield the index of each depth from 0 on, up to the first depth without calls."""
        depth = 0
        while depth in by_depth:
            yield Cover(by_depth[depth])
            depth += 1

    @cached_property
    def _line_cover(self) -> Cover:
        return Cover(self.lines)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [line.start for line in self.lines]

    @cached_property
    def _outer(self) -> list[Range]:
        """Inlined calls of depth 0, in order."""
        return sorted(inline for inline in self._inlines if inline.depth == 0)

    @cached_property
    def _outer_starts(self) -> list[int]:
        return [call.start for call in self._outer]

    @cached_property
    def _outer_ends(self) -> list[int]:
        """Largest end of the outer calls up to each one."""
        return list(accumulate((call.end for call in self._outer), max))

    @cached_property
    def _calls_have_content(self) -> bool:
        """Whether any inlined call contains a line or another call."""
        for inline in self._inlines:
            last = bisect_left(self._line_starts, inline.end) - 1
            if inline.depth or (last >= 0 and self.lines[last].end > inline.start):
                return True
        return False

    @cached_property
    def _boundaries(self) -> list[int]:
        places = set(self._line_starts)
        if self._calls_have_content:
            places.update(inline.end for inline in self._inlines)
        edges = {edge for record in (*self.lines, *self._inlines) for edge in record[:2]}
        return sorted(edge for edge in edges if edge in places or self.calls_at(edge))

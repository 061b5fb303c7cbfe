"""A FUNC block whose records have all been parsed, for many lookups in it.

Parsing takes n log n steps and is done once; a lookup then takes log n. Conversion bounds n.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate

from tecken.symbols.ranges import NOWHERE, Cover, Range, Site, inline_ranges, line_ranges


class ParsedBlock:
    """The records of the block [start, end). Those of no size, or that start outside it, do not exist."""

    def __init__(self, text: bytes, start: int, end: int) -> None:
        self._text = text
        self._start = start
        self._end = end

    @cached_property
    def lines(self) -> list[Range]:
        """The line records in order, none past the end of the block."""
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

    def site_in_gap(self, offset: int) -> Site | None:
        """Return where execution stands when neither a line nor an inlined call covers `offset`.

        None: an inlined call ended since the line before `offset` did, so what follows is unknown.
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
        """Return the last place up to `offset` where a line or a call starts, or hands back to its caller."""
        place = bisect_right(self._boundaries, offset) - 1
        return self._boundaries[place] if place >= 0 else self._start

    @cached_property
    def _inlines(self) -> list[Range]:
        """The ranges of inlined calls, in the order of the text."""
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
        """Yield the cover of each depth from 0 on, up to the first that has none."""
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
        """The inlined calls of depth 0, in order."""
        return sorted(inline for inline in self._inlines if inline.depth == 0)

    @cached_property
    def _outer_starts(self) -> list[int]:
        return [call.start for call in self._outer]

    @cached_property
    def _outer_ends(self) -> list[int]:
        """How far the calls up to each one reach."""
        return list(accumulate((call.end for call in self._outer), max))

    @cached_property
    def _calls_have_content(self) -> bool:
        """Whether any inlined call has a line or another call in it."""
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

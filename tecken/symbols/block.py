"""One FUNC block of a page: the text of a Breakpad FUNC record, and what it says about an offset.

    FUNC [m] address size parameter_size name
    INLINE depth call_line call_file origin (address size)+
    address (size line file)+

Addresses and sizes are hex, all other numbers decimal. In a symbol file a line record has one size, line and
file; a page joins records that follow on each other. A lookup reads only the records it needs out of the
text. It is fast when records are in the usual order and right in any: what a shortcut finds counts only when
it covers the offset, and well-formed records of one kind and depth never overlap.

Source: Breakpad, docs/symbol_files.md.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tecken.errors import MalformedPageFile

UNKNOWN = "<unknown>"


class Site(NamedTuple):
    """A place in source code: the number of a FILE record (-1: none) and a line (0: unknown)."""

    file: int
    line: int


NOWHERE = Site(-1, 0)


class Hit(NamedTuple):
    """A function at an offset and the calls inlined there, names still by number.

    `entry` is the module offset of the function. `sites[0]` is where execution stands; `sites[i + 1]` is the
    call of `origins[i]`, an INLINE_ORIGIN number; `len(sites) == len(origins) + 1`.
    """

    function: str
    entry: int
    sites: tuple[Site, ...]
    origins: tuple[int, ...] = ()


class Range(NamedTuple):
    """Module offsets, `end` excluded, of a line record, or of an inlined call and the place of the call."""

    start: int
    end: int
    site: Site
    origin: int = -1
    depth: int = -1


class Block:
    """Raises MalformedPageFile when the text does not start with a FUNC record."""

    __slots__ = ("_text", "end", "function", "start")

    def __init__(self, text: bytes) -> None:
        (self.start, size), self.function = head(text.partition(b"\n")[0], numbers=2)
        self.end = self.start + size
        self._text = text

    @property
    def has_lines(self) -> bool:
        return bool(self._lines())

    def locate(self, offset: int) -> Hit | None:
        """What stands at `offset`, which lies inside the block; None in a gap after an inlined call."""
        calls = self._calls_at(offset)
        site = self._site_at(offset)
        if site is None:
            if not calls:
                return self._in_gap(offset)
            site = calls.pop().site
        calls.reverse()
        sites = (site, *[call.site for call in calls])
        return Hit(self.function, self.start, sites, tuple([call.origin for call in calls]))

    def boundary(self, offset: int) -> int:
        """The last place up to `offset` where a line or an inlined call starts, or hands back to its caller.

        It hides each PUBLIC record before it.
        """
        lines, inlines = self._lines(), self._inlines()
        places = {line.start for line in lines}
        if _calls_have_content(lines, inlines):
            places.update(inline.end for inline in inlines)
        edges = {edge for record in (*lines, *inlines) for edge in record[:2] if edge <= offset}
        for edge in sorted(edges, reverse=True):
            if edge in places or self._calls_at(edge):
                return edge
        return self.start

    def _in_gap(self, offset: int) -> Hit | None:
        """Neither a line nor an inlined call covers `offset`: what came before goes on."""
        lines, inlines = self._lines(), self._inlines()
        before = [line for line in lines if line.start <= offset]
        calls = [inline for inline in inlines if inline.depth == 0 and inline.start <= offset]
        if not _calls_have_content(lines, inlines):
            before = sorted([*before, *calls])
        elif calls and (not before or before[-1].end <= max(call.end for call in calls)):
            return None
        return Hit(self.function, self.start, (before[-1].site if before else NOWHERE,))

    def _calls_at(self, offset: int) -> list[Range]:
        """The inlined calls that cover `offset`, outermost first, up to the first depth that has none."""
        last = self._text.rfind(b"\nINLINE ")
        end = self._text.find(b"\n", last + 1)
        by_depth: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for record in self._text[: end if end > 0 else None].split(b"\nINLINE ")[1:]:
            depth, _, rest = record.partition(b" ")
            by_depth[depth].append(rest)
        bound = self._bound(offset)
        calls: list[Range] = []
        while call := self._covering(by_depth[b"%d" % len(calls)], offset, bound):
            calls.append(call)
        return calls

    def _bound(self, offset: int) -> bytes:
        """Text that no start up to `offset` exceeds: most other starts do, and need not be parsed.

        Hex numbers of one width compare like their text; upper case and leading zeros only make text smaller.
        """
        digits = b"%x" % offset
        return digits if len(digits) == len(b"%x" % self.start) else b"g"

    def _covering(self, records: list[bytes], offset: int, bound: bytes) -> Range | None:
        """Of the INLINE records of one depth, each without it, the last that covers `offset`."""
        for record in reversed(records):
            fields = record.partition(b"\n")[0].split()
            i, count = 3, len(fields) - 1
            try:
                while i < count:
                    if fields[i] <= bound and (start := int(fields[i], 16)) <= offset:
                        end = start + int(fields[i + 1], 16)
                        if offset < end and start >= self.start:
                            return Range(start, end, Site(int(fields[1]), int(fields[0])), int(fields[2]))
                    i += 2
            except ValueError:
                continue
        return None

    def _site_at(self, offset: int) -> Site | None:
        site = self._site_in(self._bisect(offset), offset)
        if site is None:
            covering = (line.site for line in reversed(self._lines()) if line.start <= offset < line.end)
            site = next(covering, None)
        return site

    def _site_in(self, run: bytes, offset: int) -> Site | None:
        """The line that covers `offset` in line records that follow on each other from before it."""
        fields = run.split()
        try:
            end = int(fields[0], 16)
            for i in range(1, len(fields) - 2, 3):
                start, end = end, end + int(fields[i], 16)
                if offset < end:
                    return _site(fields[i + 2], fields[i + 1]) if start >= self.start else None
        except (ValueError, IndexError):
            pass
        return None

    def _bisect(self, offset: int) -> bytes:
        """The last line record not after `offset`, if INLINE records come first and lines are sorted."""
        text, found = self._text, b""
        low, high = text.find(b"\n") + 1 or len(text), len(text)
        while low < high:
            begin = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = text.find(b"\n", begin)
            record = text[begin:] if end < 0 else text[begin:end]
            try:
                before = record.startswith(b"INLINE ") or int(record.partition(b" ")[0], 16) <= offset
            except ValueError:
                return b""
            if before:
                found, low = record, begin + len(record) + 1
            else:
                high = begin
        return found

    def _lines(self) -> list[Range]:
        """The line records that begin inside the block, in order, none past its end."""
        records = (line for run in self._text.split(b"\n")[1:] for line in _lines(run.split()))
        inside = [line for line in records if self.start <= line.start < min(line.end, self.end)]
        return sorted(line._replace(end=min(line.end, self.end)) for line in inside)

    def _inlines(self) -> list[Range]:
        """The ranges of inlined calls that begin inside the block, in order."""
        records = [text.split()[1:] for text in self._text.split(b"\n") if text.startswith(b"INLINE ")]
        ranges = [inline for fields in records for inline in _inlines(fields)]
        return sorted(inline for inline in ranges if self.start <= inline.start < min(inline.end, self.end))


def head(record: bytes, numbers: int) -> tuple[list[int], str]:
    """The first hex numbers of a FUNC or PUBLIC record and its name, without `m` and the parameter size.

    Raises MalformedPageFile when the numbers are not there.
    """
    fields = record.split(None, numbers + 2)
    if fields[1:2] == [b"m"]:
        fields = record.split(None, numbers + 3)[1:]
    name = fields[numbers + 2].strip() if len(fields) > numbers + 2 else b""
    try:
        return [int(fields[i], 16) for i in range(1, numbers + 1)], name.decode(errors="replace") or UNKNOWN
    except (ValueError, IndexError):
        raise MalformedPageFile(f"not a FUNC or PUBLIC record: {record[:80]!r}") from None


def _site(file: bytes, line: bytes) -> Site:
    return Site(int(file), max(int(line), 0))


def _lines(fields: Sequence[bytes]) -> Iterator[Range]:
    """Each line record of those that follow on each other; none when they are something else."""
    if len(fields) % 3 != 1:
        return
    try:
        end = int(fields[0], 16)
        for size, line, file in zip(fields[1::3], fields[2::3], fields[3::3], strict=True):
            start, end = end, end + int(size, 16)
            yield Range(start, end, _site(file, line))
    except ValueError:
        return


def _inlines(fields: Sequence[bytes]) -> Iterator[Range]:
    """Each range of one INLINE record, up to the first that cannot be read."""
    try:
        depth, line, file, origin = map(int, fields[:4])
        for address, size in zip(fields[4::2], fields[5::2], strict=False):
            start = int(address, 16)
            yield Range(start, start + int(size, 16), Site(file, line), origin, depth)
    except ValueError:
        return


def _calls_have_content(lines: Sequence[Range], inlines: Sequence[Range]) -> bool:
    """Whether any inlined call has a line or another call in it; both arguments are in order."""
    starts = [line.start for line in lines]
    last = (bisect_left(starts, inline.end) - 1 for inline in inlines)
    reach = any(i >= 0 and lines[i].end > inline.start for i, inline in zip(last, inlines, strict=True))
    return reach or any(inline.depth for inline in inlines)

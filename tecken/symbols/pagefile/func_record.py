"""Lookup of an offset in one FUNC block: the text of a FUNC record with its lines and inlined calls.

    FUNC [m] address size parameter_size name
    INLINE depth call_line call_file origin (address size)+
    address (size line file)+

Addresses and sizes are hexadecimal, all other numbers decimal. In a symbol file a line record has one size,
line and file; a page joins records that follow on each other (see `line_runs`).

The first lookups in a block read only the records that they need from the text. Later lookups, and those of
an offset that no line covers, parse the block once (`func_ranges`); the results are the same. A record that
a shortcut finds counts only if it covers the offset. So a lookup is fast for records in the usual order and
right for any order, because well-formed records of one kind and depth never overlap.

Source: that of `tecken.symbols.formats`.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Final, NamedTuple

from tecken.symbols.engine import malformed_record
from tecken.symbols.pagefile.func_ranges import (
    MAX_FIELD,
    NOWHERE,
    ParsedBlock,
    Range,
    SourcePlace,
    site_of,
)

__all__ = ["NOWHERE", "UNKNOWN", "Block", "Hit", "SourcePlace", "head"]

UNKNOWN = "<unknown>"
ADDRESS_SPACE: Final = 1 << 32

# Lookups in one block that read its text. Parsing all inlined calls takes about as long as four such lookups.
TEXT_LOOKUPS: Final = 4

# Longest run of line records that is searched as text: conversion joins up to 16 records. A symbol file can
# have a line of a megabyte in that form, in which the parsed block is faster to search.
MAX_RUN_TEXT: Final = 1024

# The longest block whose text is searched. A search reads to the end of a record, so one in a block of 1 MiB
# takes half a millisecond, and 20,000 of them ten seconds. No function of a real program is as long.
MAX_SEARCHED_TEXT: Final = 128 << 10


class Hit(NamedTuple):
    """Function at an offset and the calls inlined there, with names by number.

    `entry` is the module offset of the function and `size` its length, 0 where it is unknown. `sites[0]` is
    the place of the offset; `sites[i + 1]` is the call of `origins[i]`, an INLINE_ORIGIN number. `len(sites)
    == len(origins) + 1`.
    """

    function: str
    entry: int
    sites: tuple[SourcePlace, ...]
    origins: tuple[int, ...] = ()
    size: int = 0

    def without_places(self) -> Hit:
        """Return the function alone, which needs no names of files and inlined calls."""
        return Hit(self.function, self.entry, (NOWHERE,), (), self.size)


class Block:
    """FUNC record with its lines and inlined calls. Raises MalformedPageFile for text that is none."""

    def __init__(self, text: bytes) -> None:
        (self.start, size), self.function = head(text.partition(b"\n")[0], numbers=2)
        self.end = min(self.start + size, ADDRESS_SPACE)
        self._text = text
        self._lookups = 0

    @cached_property
    def _parsed(self) -> ParsedBlock:
        return ParsedBlock(self._text, self.start, self.end)

    @property
    def has_lines(self) -> bool:
        """Whether the block has line records."""
        return bool(self._parsed.lines)

    def locate(self, offset: int) -> Hit | None:
        """Return the hit of an offset in the block; None in a gap after an inlined call."""
        self._lookups += 1
        is_first = self._lookups <= TEXT_LOOKUPS
        calls = self._calls_at(offset) if is_first else self._parsed.calls_at(offset)
        site = self._site_at(offset)
        if site is None:
            site = calls.pop().site if calls else self._parsed.site_in_gap(offset)
            if site is None:
                return None
        calls.reverse()
        # Lists inside the tuples: for the few items here, a generator expression takes longer to set up.
        sites = (site, *[call.site for call in calls])
        origins = tuple([call.origin for call in calls])
        return Hit(self.function, self.start, sites, origins, self.end - self.start)

    def boundary(self, offset: int) -> int:
        """Return the last boundary up to `offset`. A PUBLIC record before it is hidden."""
        return self._parsed.boundary(offset)

    def _calls_at(self, offset: int) -> list[Range]:
        """Return the result of `ParsedBlock.calls_at` from the text."""
        # rfind() and one split() run in C over the whole block; only the records of one depth at a time are
        # then split into fields.
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
        """Return text that no address up to `offset` exceeds as text.

        Most other addresses exceed it and are skipped without being parsed as numbers. Hexadecimal numbers
        of one width compare like their text; upper case and leading zeros only make the text smaller.
        """
        digits = b"%x" % offset
        # Python's numbers may have underscores, which are larger than digits.
        is_plain = self._text.find(b"_", self._text.find(b"\n") + 1) < 0
        return digits if is_plain and len(digits) == len(b"%x" % self.start) else b"g"

    def _covering(self, records: list[bytes], offset: int, bound: bytes) -> Range | None:
        """Return the last range that covers `offset`, of INLINE records of one depth without their depth."""
        for record in reversed(records):
            fields = record.partition(b"\n")[0].split()
            i, count = 3, len(fields) - 1
            while i < count:
                try:
                    if fields[i] <= bound and (start := int(fields[i], 16)) <= offset:
                        end = start + int(fields[i + 1], 16)
                        if offset < end and start >= self.start and _are_short(*fields[i : i + 2], fields[2]):
                            return Range(start, end, site_of(fields[1], fields[0]), int(fields[2]))
                except ValueError:
                    pass
                i += 2
        return None

    def _site_at(self, offset: int) -> SourcePlace | None:
        found = None
        if len(self._text) <= MAX_SEARCHED_TEXT:
            begin, end = self._bisect(offset)
            found = self._site_in(self._text[begin:end], offset) if end - begin <= MAX_RUN_TEXT else None
        if found is None:
            line = self._parsed.line_at(offset)
            found = line.site if line else None
        return found

    def _site_in(self, run: bytes, offset: int) -> SourcePlace | None:
        """Return the place of `offset` in a run of line records."""
        fields = run.split()
        try:
            if max(map(len, fields)) > MAX_FIELD:
                return None
            end = int(fields[0], 16)
            for i in range(1, len(fields) - 2, 3):
                start, end = end, end + int(fields[i], 16)
                if offset < end:
                    return site_of(fields[i + 2], fields[i + 1]) if start >= self.start else None
        except (ValueError, IndexError):
            pass
        return None

    def _bisect(self, offset: int) -> tuple[int, int]:
        """Return begin and end of the last line record up to `offset`.

        For records in another order than INLINE first and lines sorted the result may be wrong. Callers check
        that it covers the offset. Nothing but the first number of a record is copied out of the text.
        """
        text, found = self._text, (0, 0)
        low, high = text.find(b"\n") + 1 or len(text), len(text)
        while low < high:
            begin = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = text.find(b"\n", begin)
            end = len(text) if end < 0 else end
            space = text.find(b" ", begin, end)
            try:
                number = text[begin : end if space < 0 else space]
                before = text.startswith(b"INLINE ", begin) or int(number, 16) <= offset
            except ValueError:
                return (0, 0)
            if before:
                found, low = (begin, end), end + 1
            else:
                high = begin
        return found


def _are_short(*fields: bytes) -> bool:
    return max(map(len, fields)) <= MAX_FIELD


def head(record: bytes, numbers: int) -> tuple[list[int], str]:
    """Return the first hexadecimal numbers of a FUNC or PUBLIC record, and its name.

    Raises MalformedPageFile when there are fewer numbers, or the first one is no module offset.
    """
    fields = record.split(None, numbers + 2)
    if fields[1:2] == [b"m"]:
        fields = record.split(None, numbers + 3)[1:]
    name = fields[numbers + 2].strip() if len(fields) > numbers + 2 else b""
    try:
        values = [int(fields[i], 16) for i in range(1, numbers + 1)]
    except (ValueError, IndexError):
        raise malformed_record(record) from None
    if not 0 <= values[0] < ADDRESS_SPACE:
        raise malformed_record(record)
    return values, name.decode(errors="replace") or UNKNOWN

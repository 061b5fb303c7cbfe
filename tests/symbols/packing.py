"""Reference of the packed form of FUNC blocks: how the engine packs them (see `pagefile.packed`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Final

from tecken.symbols.pagefile.cutter import PythonCutter
from tecken.symbols.pagefile.line_runs import join
from tecken.symbols.pagefile.packed import PACKED, SLOTS

_HEX: Final = rb"(?:0|[1-9a-f][0-9a-f]{0,7})"
_DECIMAL: Final = rb"(?:0|[1-9][0-9]{0,8})"
_NUMBER: Final = rb"%b %b %b " % ((_DECIMAL,) * 3)
_BLOCK: Final = re.compile(
    rb"FUNC (m )?(%b) (%b) (%b) ([^\n]*)" % ((_HEX,) * 3)
    + rb"((?:\nINLINE %b%b(?: %b %b)+)*)" % (_NUMBER, _DECIMAL, _HEX, _HEX)
    + rb"((?:\n%b %b %b %b)*)" % (_HEX, _HEX, _DECIMAL, _DECIMAL)
)
_RETURN: Final = re.compile(rb"\r(?=\n|\Z)")
_U32: Final = 1 << 32
_Line = tuple[int, int, int, int]
"""Start, size, line and file of a line record."""


class PackingCutter(PythonCutter):
    """Cutter in Python that packs blocks as the engine does."""

    def _write_symbols(self, symbols: list[bytes]) -> list[bytes]:
        packed = [pack(symbol) for symbol in symbols]
        joined = iter(
            join([symbol for symbol, record in zip(symbols, packed, strict=True) if record is None])
        )
        return [next(joined) if record is None else record for record in packed]


class _Places:
    """Places of a block: files with their last lines, the last one used first."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int]] = []

    def encode(self, file: int, line: int) -> tuple[int, tuple[int, ...]]:
        """Return the slot of a place and the numbers that follow it."""
        for slot, (known, last) in enumerate(self._places):
            if known == file:
                self._places[: slot + 1] = [(file, line), *self._places[:slot]]
                return slot, (_zigzag(line - last),)
        self._places = [(file, line), *self._places][:SLOTS]
        return SLOTS, (file, line)


def pack(block: bytes) -> bytes | None:
    """Return the packed form of a FUNC block; None for one that is not written as writers do."""
    if b"\r" in block:
        block = _RETURN.sub(b"", block)
    match = _BLOCK.fullmatch(block)
    if not match:
        return None
    multiple, address, size, parameters, name, inlines, lines = match.groups()
    head = (int(size, 16), int(parameters, 16) << 1 | bool(multiple))
    start = int(address, 16)
    records = [_fields(line) for line in lines.split(b"\n")[1:]]
    if any(start + size >= _U32 for start, size, _, _ in records):
        return None
    calls = inlines.split(b"\nINLINE ")[1:]
    places = _Places()
    numbers = [len(records), len(calls)]
    numbers += _line_numbers(records, start, places)
    numbers += _inline_numbers(calls, _Lines(records, start), places)
    return b"".join((PACKED, _varints(head), name, b"\n", _varints(numbers)))


def _fields(line: bytes) -> _Line:
    """Return start, size, line and file of a line record."""
    start, size, number, file = line.split()
    return int(start, 16), int(size, 16), int(number), int(file)


def _line_numbers(records: Sequence[_Line], end: int, places: _Places) -> Iterator[int]:
    for start, size, line, file in records:
        slot, place = places.encode(file, line)
        if start == end:
            yield slot << 1
        else:
            yield slot << 1 | 1
            yield _zigzag(start - end)
        yield size
        yield from place
        end = start + size


class _Lines:
    """Line records by start and by end, for ranges of inlined calls.

    Without ascending records no range refers to lines, so that a start means one record.
    """

    def __init__(self, records: Sequence[_Line], address: int) -> None:
        starts = [record[0] for record in records]
        ends = [record[0] + record[1] for record in records]
        is_ordered = all(a < b for a, b in chain(pairwise(starts), pairwise(ends)))
        self.by_start = dict(zip(starts, range(len(starts)), strict=True)) if is_ordered else {}
        self.by_end = dict(zip(ends, range(len(ends)), strict=True)) if is_ordered else {}
        self.address = address


def _inline_numbers(calls: Sequence[bytes], lines: _Lines, places: _Places) -> Iterator[int]:
    depth, origin, following, before = -1, 0, 0, lines.address
    for call in calls:
        fields = call.split()
        ranges = len(fields) // 2 - 2
        yield _zigzag(int(fields[0]) - depth) << 1 | (ranges > 1)
        if ranges > 1:
            yield ranges
        slot, place = places.encode(int(fields[2]), int(fields[1]))
        yield slot
        yield from place
        yield _zigzag(int(fields[3]) - origin)
        depth, origin, outer = int(fields[0]), int(fields[3]), None
        for i in range(4, len(fields), 2):
            start, size = int(fields[i], 16), int(fields[i + 1], 16)
            first, last = lines.by_start.get(start), lines.by_end.get(start + size)
            if first is not None and last is not None and first <= last:
                yield _zigzag(first - following) << 1
                yield last - first
                following = last + 1
                outer = first if outer is None else outer
            else:
                yield _zigzag(start - before) << 1 | 1
                yield size
            before = start
        following = following if outer is None else outer


def _varints(numbers: Iterable[int]) -> bytes:
    """Return numbers as varints."""
    packed = bytearray()
    for number in numbers:
        rest = number
        while rest >= 0x80:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1

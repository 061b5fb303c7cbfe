"""SymCache, the table of functions and lines that `symbolic` makes of a native file.

Source of the layout: symbolic 13, symbolic-symcache/src/raw.rs, versions 7 to 9. Numbers are u32 in
little-endian order, and each table begins at a multiple of 8 bytes:

    magic 4s | version | debug id 32s | architecture | files | functions | locations | ranges | string bytes
    | 16 bytes | files | functions | locations | ranges | strings

A range is the address of its start, and its end is the start of the next one. The last locations belong to
the ranges, in their order; the others are the places of calls that were inlined.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed

NONE: Final = 0xFFFFFFFF
"""Number of a file, function, line or text that is absent."""

VERSIONS: Final = range(7, 10)
MAGIC: Final = b"SYMC"
# Calls around one address. The bound only ends a search in a table that is not valid.
MAX_DEPTH: Final = 1 << 14
# Bytes of the last range, which has no next one that ends it.
LAST_BYTES: Final = 16
_HEADER: Final = Struct("<4sI32s6I16x")
_FUNCTION_COLUMNS, _LOCATION_COLUMNS = 4, 4
_ALIGNMENT: Final = 8
# Contexts that are kept: the calls around a range, which neighbours share.
_MAX_CONTEXTS: Final = 1 << 16


class Line(NamedTuple):
    """Part of a function with one line. `file` is NONE and `line` 0 where neither is known."""

    start: int
    end: int
    file: int
    line: int


class InlinedCall(NamedTuple):
    """Call that was inlined: its depth from 0, its place, and the function that is called."""

    depth: int
    line: int
    file: int
    function: int


class CachedFunction(NamedTuple):
    """Function with all of its ranges, and the parts of each call in it."""

    number: int
    start: int
    end: int
    lines: list[Line]
    calls: Mapping[InlinedCall, list[list[int]]]


class _Context(NamedTuple):
    """Outermost function of a range, and the calls that are inlined there from the outside to the inside."""

    root: int
    calls: tuple[InlinedCall, ...]


class SymCache:
    """Tables of one SymCache. Raises Malformed for another layout."""

    def __init__(self, content: bytes) -> None:
        if len(content) < _HEADER.size:
            raise Malformed("the SymCache is cut")
        magic, version, *_, files, functions, locations, ranges, strings = _HEADER.unpack_from(content)
        if magic != MAGIC or version not in VERSIONS:
            raise Malformed(f"a SymCache of version {version} cannot be read")
        self._content = content
        self._file_columns = 6 if version >= 9 else 3
        self._end = _HEADER.size
        self._files = self._table(files * self._file_columns)
        self._functions = self._table(functions * _FUNCTION_COLUMNS)
        self._locations = self._table(locations * _LOCATION_COLUMNS)
        self._ranges = self._table(ranges)
        self._strings = self._end
        self._first = locations - ranges
        self._contexts: dict[tuple[int, int], _Context] = {}
        if self._strings + strings > len(content) or self._first < 0:
            raise Malformed("the SymCache is cut")

    def _table(self, count: int) -> array[int]:
        rows = array("I", self._content[self._end : self._end + 4 * count])
        if sys.byteorder == "big":
            rows.byteswap()
        self._end += -(-4 * count // _ALIGNMENT) * _ALIGNMENT
        return rows

    @property
    def function_count(self) -> int:
        """Number of functions."""
        return len(self._functions) // _FUNCTION_COLUMNS

    def function_name(self, number: int) -> bytes:
        """Return the name of a function, mangled as it is in the file."""
        return self._text(self._functions[number * _FUNCTION_COLUMNS])

    def has_debug_information(self, number: int) -> bool:
        """Return whether a function comes from debug information, and not from a symbol table."""
        return self._functions[number * _FUNCTION_COLUMNS + 3] != NONE

    @property
    def has_lines(self) -> bool:
        """Whether a function comes from debug information."""
        return any(map(self.has_debug_information, range(self.function_count)))

    def file_path(self, number: int) -> bytes:
        """Return the path of a source file."""
        at = number * self._file_columns
        folder, directory, name = map(self._text, self._files[at : at + 3])
        return join(join(folder, directory), name)

    def functions(self) -> Iterator[CachedFunction]:
        """Yield the functions by address. A range without a function between two of one function is its."""
        collector: FunctionCollector | None = None
        for start, end, location in self._places():
            at = location * _LOCATION_COLUMNS
            file, line, function, parent = self._locations[at : at + _LOCATION_COLUMNS]
            if function == NONE:
                continue
            context = self._contexts.get((function, parent)) or self._find_context(function, parent)
            if collector is None or collector.number != context.root:
                if collector is not None:
                    yield collector.function()
                collector = FunctionCollector(context.root, start)
            collector.add(start, end, _place(file, line), context.calls)
        if collector is not None:
            yield collector.function()

    def _places(self) -> Iterator[tuple[int, int, int]]:
        """Yield the ranges with bytes, each with the number of its location."""
        ranges = self._ranges
        for number, start in enumerate(ranges):
            end = ranges[number + 1] if number + 1 < len(ranges) else min(start + LAST_BYTES, NONE)
            if end > start:
                yield start, end, self._first + number

    def _find_context(self, function: int, parent: int) -> _Context:
        """Return the context of a function at a place, which is that of its caller and one call more."""
        if len(self._contexts) >= _MAX_CONTEXTS:
            self._contexts.clear()
        inside: list[tuple[int, int]] = []
        found = None
        while parent != NONE and not (found := self._contexts.get((function, parent))):
            inside.append((function, parent))
            at = parent * _LOCATION_COLUMNS
            function, parent = self._locations[at + 2 : at + _LOCATION_COLUMNS]
            if len(inside) > MAX_DEPTH:
                raise Malformed("a call is inlined into itself")
        context = found or _Context(function, ())
        for key in reversed(inside):
            at = key[1] * _LOCATION_COLUMNS
            file, line = _place(*self._locations[at : at + 2])
            call = InlinedCall(len(context.calls), line, file, key[0])
            context = self._contexts[key] = _Context(context.root, (*context.calls, call))
        return context

    def _text(self, offset: int) -> bytes:
        """Return the text at an offset; its length is before it, as a LEB128 number."""
        if offset == NONE:
            return b""
        position, length, shift = self._strings + offset, 0, 0
        while True:
            byte = self._content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return self._content[position : position + length]


class FunctionCollector:
    """Function whose ranges are read one after the other."""

    def __init__(self, number: int, start: int) -> None:
        self.number = number
        self._start = start
        self._end = start
        self._lines: list[Line] = []
        self._parts: dict[InlinedCall, list[list[int]]] = {}
        # Calls around the last ranges, and where these begin.
        self._calls: tuple[InlinedCall, ...] = ()
        self._calls_start = start

    def add(self, start: int, end: int, place: tuple[int, int], calls: tuple[InlinedCall, ...]) -> None:
        """Add the next range, with its file and line and the calls around it."""
        last = self._lines[-1] if self._lines else None
        if last and last.end == start and (last.file, last.line) == place:
            self._lines[-1] = Line(last.start, end, *place)
        else:
            self._lines.append(Line(start, end, *place))
        # Neighbours share the same object, so that most ranges only move the end.
        if calls is not self._calls or start != self._end:
            self._end_calls()
            self._calls, self._calls_start = calls, start
        self._end = end

    def _end_calls(self) -> None:
        start, end = self._calls_start, self._end
        for call in self._calls:
            parts = self._parts.setdefault(call, [])
            if parts and parts[-1][1] == start:
                parts[-1][1] = end
            else:
                parts.append([start, end])

    def function(self) -> CachedFunction:
        """Return the function, with the calls in the order of depth and address."""
        self._end_calls()
        calls = sorted(self._parts.items(), key=lambda item: (item[0].depth, item[1][0][0]))
        return CachedFunction(self.number, self._start, self._end, self._lines, dict(calls))


def _place(file: int, line: int) -> tuple[int, int]:
    return (NONE, 0) if file == NONE else (file, 0 if line == NONE else line)


def join(folder: bytes, path: bytes) -> bytes:
    """Return a path that is relative to a folder as an absolute one, if the folder is."""
    if not folder or path[:1] in (b"/", b"\\", b"<") or path[1:2] == b":":
        return path
    if not path:
        return folder
    if folder.endswith((b"/", b"\\")):
        return folder + path
    is_windows = folder[:1] == b"\\" or (folder[1:2] == b":" and b"/" not in folder)
    return folder + (b"\\" if is_windows else b"/") + path

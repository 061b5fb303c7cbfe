"""Packed form of a FUNC block: its numbers as small differences, from which its text can be made again.

The text of a block repeats itself in ways that a compressor cannot see: the address of a line record says
what the sizes before it say, the ranges of an inlined call begin and end where line records do, and most
lines are near the last line of the same file. Packed, a block takes a quarter to half of its text, and
compressed 60 to 70 % (bench/packing.py).

    0x01 | size | parameter size << 1 | m | name | newline | lines | inlines | line* | inline*
    line   = slot << 1 | gap, [start - end of the line before], size, place
    inline = (depth - depth before) << 1 | several, [ranges], slot, place, origin - origin before, range+
    range  = (first - next line) << 1, last - first          from one line record to the end of another
           | (start - start before) << 1 | 1, size
    place  = [file], line                                     see `_Places`

Each number is a varint (LEB128); a difference that may be negative is zigzag-coded. The address is the key of
the record in its page. The next line of a range is the one after the range before it, or the first one of the
inlined call before it. Text never begins with 0x01, so a page may have both forms: a block with anything
unusual in it stays text.

The engine packs blocks (engine/src/packed.rs). Without it all blocks stay text: Python would need longer to
pack them than for the rest of a conversion. tests/symbols/packing.py describes the packed form in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from tecken.symbols import engine
from tecken.symbols.pagefile.bounds import MAX_BLOCK
from tecken.symbols.pagefile.line_runs import RUN

PACKED: Final = b"\1"

# Files that are remembered while a block is packed or expanded. More cost time and save nothing.
SLOTS: Final = 14

# Of at most ten bytes, which is enough for 64 bits. Without a bound, a long number would take time in
# proportion to the square of its length.
_VARINT: Final = re.compile(rb"[\x80-\xff]{0,9}[\x00-\x7f]")
_HEAD: Final = re.compile(rb"\x01(%b)(%b)([^\n]*)\n" % ((_VARINT.pattern,) * 2))
_BITS: Final = 32
_U32: Final = 1 << _BITS
_U64: Final = 1 << 64
_Line = tuple[int, int, int, int]
"""Start, size, line and file of a line record."""


class _Places:
    """Places of a block: files with their last lines, the last one used first.

    A place in one of these files is its slot and the difference to its last line; any other is SLOTS, the
    file and the line.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        self._lines: list[int] = []

    def decode(self, slot: int, numbers: Iterator[int]) -> tuple[int, int]:
        """Return the file and line of a place. Raises IndexError for a slot without a file."""
        if slot == SLOTS:
            file, line = next(numbers), next(numbers)
            self._insert(file, line)
            return file, line
        line = self._lines[slot] + _signed(next(numbers))
        self._move(slot, line)
        return self._files[0], line

    def _insert(self, file: int, line: int) -> None:
        self._files.insert(0, file)
        self._lines.insert(0, line)
        del self._files[SLOTS:], self._lines[SLOTS:]

    def _move(self, slot: int, line: int) -> None:
        if slot:
            self._files.insert(0, self._files.pop(slot))
            self._lines.insert(0, self._lines.pop(slot))
        self._lines[0] = line


def expand(record: bytes, address: int) -> bytes:
    """Return the text of a packed FUNC block, with joined line records. Raises MalformedPageFile."""
    try:
        return _expand(record, address)
    except (StopIteration, IndexError, ValueError) as error:
        raise engine.malformed_record(record) from error


def _expand(record: bytes, address: int) -> bytes:
    head = _HEAD.match(record)
    # Conversion makes no longer ones, and a malformed page must not take much memory.
    if not head or len(record) > MAX_BLOCK:
        raise ValueError
    size, parameters = map(_number, head.groups()[:2])
    if size >= _U32 or parameters >> 1 >= _U32:
        raise ValueError
    numbers = iter(_numbers(record[head.end() :]))
    line_count, inline_count = next(numbers), next(numbers)
    places = _Places()
    lines = _read_lines(numbers, line_count, address, places)
    texts = [b"FUNC %b%x %x %x %b" % (b"m " * (parameters & 1), address, size, parameters >> 1, head[3])]
    texts += _inline_texts(numbers, inline_count, lines, address, places)
    texts += _line_texts(lines)
    if next(numbers, None) is not None:
        raise ValueError
    return b"".join(texts)


def _read_lines(numbers: Iterator[int], count: int, end: int, places: _Places) -> list[_Line]:
    lines = []
    for _ in range(count):
        word = next(numbers)
        start = end + _signed(next(numbers)) if word & 1 else end
        size = next(numbers)
        file, line = places.decode(word >> 1, numbers)
        if (start | size | file | line) >> _BITS:
            raise ValueError
        end = start + size
        lines.append((start, size, line, file))
    return lines


def _inline_texts(
    numbers: Iterator[int], count: int, lines: Sequence[_Line], address: int, places: _Places
) -> list[bytes]:
    texts = []
    depth, origin, following, before = -1, 0, 0, address
    for _ in range(count):
        word = next(numbers)
        depth += _signed(word >> 1)
        ranges = next(numbers) if word & 1 else 1
        file, line = places.decode(next(numbers), numbers)
        origin += _signed(next(numbers))
        text, outer = [b"\nINLINE %d %d %d %d" % (depth, line, file, origin)], None
        for _ in range(ranges):
            word, length = next(numbers), next(numbers)
            if word & 1:
                start, size = before + _signed(word >> 1), length
            else:
                first = following + _signed(word >> 1)
                start, size = _line_range(lines, first, first + length)
                following = first + length + 1
                outer = first if outer is None else outer
            if (start | size) >> _BITS:
                raise ValueError
            text.append(b" %x %x" % (start, size))
            before = start
        if (depth | line | file | origin) >> _BITS:
            raise ValueError
        following = following if outer is None else outer
        texts += text
    return texts


def _line_range(lines: Sequence[_Line], first: int, last: int) -> tuple[int, int]:
    """Return start and size of a range from one line record to the end of another."""
    if not 0 <= first <= last:
        raise IndexError
    start = lines[first][0]
    return start, lines[last][0] + lines[last][1] - start


def _line_texts(lines: Sequence[_Line]) -> Iterator[bytes]:
    end = -1
    for i, (start, size, line, file) in enumerate(lines):
        if start != end or i % RUN == 0:
            yield b"\n%x" % start
        yield b" %x %d %d" % (size, line, file)
        end = start + size


def _numbers(packed: bytes) -> list[int]:
    """Return the numbers of varints. Raises ValueError."""
    # Nearly all bytes are numbers by themselves; re.findall() and bytes.isascii() run in C.
    if packed.isascii():
        return list(packed)
    varints = _VARINT.findall(packed)
    if sum(map(len, varints)) != len(packed):
        raise ValueError
    return [varint[0] if len(varint) == 1 else _number(varint) for varint in varints]


def _number(varint: bytes) -> int:
    number = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(varint))
    if number >= _U64:
        raise ValueError
    return number


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)

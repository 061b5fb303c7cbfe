"""Program headers and notes of ELF files, with every offset and count checked."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump_bytes import unpack

PT_LOAD: Final = 1
PT_NOTE: Final = 4
# All names of notes that are compared are shorter.
MAX_NAME_BYTES: Final = 8
_NOTE: Final = Struct("<III")


class ElfClass(NamedTuple):
    """Layouts that depend on the size of a word.

    `header` gives the place of the program headers, their size and their number, `segment` the values in
    `order`: type, offset, address, size in the file, size in memory, alignment, flags.
    """

    width: int
    header: Struct
    segment: Struct
    order: tuple[int, ...]
    thread_id: Struct
    registers: int
    process_id: Struct
    signal_info: Struct
    word: Struct
    mapping: Struct


ELF64: Final = ElfClass(
    width=8,
    header=Struct("<32xQ14xHH"),
    segment=Struct("<IIQQQQQQ"),
    order=(0, 2, 3, 5, 6, 7, 1),
    thread_id=Struct("<32xI"),
    registers=112,
    process_id=Struct("<24xI"),
    signal_info=Struct("<I4xI4xQ"),
    word=Struct("<Q"),
    mapping=Struct("<QQQ"),
)
ELF32: Final = ElfClass(
    width=4,
    header=Struct("<28xI10xHH"),
    segment=Struct("<IIIIIIII"),
    order=(0, 1, 2, 4, 5, 7, 6),
    thread_id=Struct("<24xI"),
    registers=72,
    process_id=Struct("<12xI"),
    signal_info=Struct("<I4xII"),
    word=Struct("<I"),
    mapping=Struct("<III"),
)


class Segment(NamedTuple):
    """Program header."""

    kind: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int
    flags: int


def read_segments(image: memoryview, layout: ElfClass, limit: int) -> Iterator[Segment]:
    """Yield the program headers of an ELF file or its first page. Raises Malformed."""
    start, size, count = unpack(layout.header, image)
    if count > limit:
        raise Malformed(f"file has {count} program headers; at most {limit} are read")
    if count and size != layout.segment.size:
        raise Malformed(f"file has program headers of {size} bytes")
    for number in range(count):
        values = unpack(layout.segment, image, start + number * size)
        yield Segment(*(values[index] for index in layout.order))


def read_notes(content: memoryview, alignment: int) -> Iterator[tuple[bytes, int, memoryview]]:
    """Yield the name, type and content of notes, until one that is cut."""
    start = 0
    while start + _NOTE.size <= len(content):
        name_size, size, kind = _NOTE.unpack_from(content, start)
        name = start + _NOTE.size
        place = name + name_size + -(name + name_size) % alignment
        end = place + size
        if end > len(content):
            return
        yield bytes(content[name : name + min(name_size, MAX_NAME_BYTES)]), kind, content[place:end]
        start = end + -end % alignment

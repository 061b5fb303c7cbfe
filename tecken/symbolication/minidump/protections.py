"""Mapped memory of the process, and whether it could be read, written and executed.

Windows dumps have it in the memory info list, those of Linux in a copy of /proc/<pid>/maps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import islice
from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import disjoint
from tecken.symbolication.minidump.dump_bytes import DumpBytes
from tecken.symbolication.minidump.memory import MAX_REGIONS

_MEMORY_INFO: Final = 16
# Base, size, protection of MINIDUMP_MEMORY_INFO.
_RECORD: Final = Struct("<Q16xQ4xI8x")
# PAGE_* of winnt.h by what they allow.
_READABLE: Final = 0x02 | 0x04 | 0x20 | 0x40
_WRITABLE: Final = 0x04 | 0x08 | 0x40 | 0x80
_EXECUTABLE: Final = 0x10 | 0x20 | 0x40 | 0x80


class MappedRange(NamedTuple):
    """Addresses [base, base + size), and what they allow: some of the letters "r", "w" and "x"."""

    base: int
    size: int
    allowed: str


class Protections:
    """Mappings by address. Of mappings that overlap, the one with the lower base counts."""

    def __init__(self, mappings: Iterable[MappedRange] = ()) -> None:
        items = list(mappings)
        order = disjoint([(item.base, item.size) for item in items])
        self.all = tuple(items[index] for index in order)
        self._bases = [item.base for item in self.all]

    def find(self, address: int) -> MappedRange | None:
        """Return the mapping that covers an address."""
        place = bisect_right(self._bases, address) - 1
        if place < 0:
            return None
        mapping = self.all[place]
        return mapping if address < mapping.base + mapping.size else None

    def find_usable(self, address: int) -> MappedRange | None:
        """Return the first mapping that ends after an address and that the program may use."""
        place = max(bisect_right(self._bases, address) - 1, 0)
        after = islice(self.all, place, None)
        return next((item for item in after if item.allowed and address < item.base + item.size), None)

    def neighbours(self, mapping: MappedRange) -> list[MappedRange]:
        """Return the mappings that end where this one begins, and begin where it ends."""
        found = (self.find(mapping.base - 1), self.find(mapping.base + mapping.size))
        return [item for item in found if item]


def read_protections(dump: DumpBytes, mappings: Iterable[MappedRange] | None) -> Protections:
    """Return the mapped memory: the memory info list, or without it the mappings of Linux."""
    records = dump.read_list(_MEMORY_INFO, "memory info", _RECORD, MAX_REGIONS, is_wide=True)
    if records:
        return Protections(
            MappedRange(base, size, _allowed(protection)) for base, size, protection in records
        )
    return Protections(mappings or ())


def _allowed(protection: int) -> str:
    letters = (("r", _READABLE), ("w", _WRITABLE), ("x", _EXECUTABLE))
    return "".join(letter for letter, bits in letters if protection & bits)

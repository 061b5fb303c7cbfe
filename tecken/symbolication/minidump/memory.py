"""Memory in a dump: the lists of regions, and the search in them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from struct import Struct
from typing import Final

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump import MemoryRegion, disjoint
from tecken.symbolication.minidump.dump_bytes import DumpBytes, unpack

# A dump of all memory has a region for each mapping, and Linux allows 65,530 of them.
MAX_REGIONS: Final = 1 << 17

_MEMORY_LIST: Final = 5
_MEMORY64_LIST: Final = 9
_DESCRIPTOR: Final = Struct("<QII")
_HEADER64: Final = Struct("<QQ")


class MemoryMap:
    """Regions of memory, searched by address. Of regions that overlap, the one with the lower base counts."""

    def __init__(self, regions: Iterable[MemoryRegion] = ()) -> None:
        items = [(region.base, len(region.content), region) for region in regions]
        self._regions = [items[index][2] for index in disjoint([item[:2] for item in items])]
        self._bases = [region.base for region in self._regions]

    def find(self, address: int) -> MemoryRegion | None:
        """Return the region that covers an address."""
        place = bisect_right(self._bases, address) - 1
        if place < 0:
            return None
        region = self._regions[place]
        return region if address < region.base + len(region.content) else None


def read_memory(dump: DumpBytes) -> MemoryMap:
    """Return the memory: the list of a full dump, or that of any other dump."""
    full = dump.read_stream(_MEMORY64_LIST, "list of all memory", lambda part: _read_full(dump, part), None)
    if full is not None:
        return full
    return dump.read_stream(
        _MEMORY_LIST, "list of memory", lambda part: _read_regions(dump, part), MemoryMap()
    )


def read_region(dump: DumpBytes, base: int, size: int, rva: int) -> MemoryRegion | None:
    """Return a region at an offset; None if it is empty, or past the end of a file that was cut."""
    if not rva or not size or rva + size > len(dump.data):
        return None
    return MemoryRegion(base, dump.data[rva : rva + size])


def _read_regions(dump: DumpBytes, stream: memoryview) -> MemoryMap:
    records = dump.records(stream, _DESCRIPTOR, "regions of memory", MAX_REGIONS)
    regions = (read_region(dump, *record) for record in records)
    return MemoryMap(region for region in regions if region)


def _read_full(dump: DumpBytes, stream: memoryview) -> MemoryMap | None:
    """Return the regions of a full dump, which are one after the other from an offset on."""
    count, rva = unpack(_HEADER64, stream)
    if 16 + 16 * count > len(stream):
        raise Malformed(f"a list of {count} is longer than its {len(stream)} bytes")
    if count > MAX_REGIONS:
        raise Malformed(f"{count} regions are more than {MAX_REGIONS}")
    regions = []
    for base, size in _HEADER64.iter_unpack(stream[16 : 16 + 16 * count]):
        regions.append(MemoryRegion(base, dump.part(size, rva)))
        rva += size
    return MemoryMap(regions)

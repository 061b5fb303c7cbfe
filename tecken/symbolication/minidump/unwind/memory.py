"""Stack memory as pointers."""

from __future__ import annotations

from struct import Struct, unpack_from
from typing import Final

from tecken.symbolication.minidump.dump import MemoryRegion

_CODES: Final = {4: "I", 8: "Q"}


class StackMemory:
    """Stack of a thread, read in pointers of `width` bytes."""

    def __init__(self, region: MemoryRegion, width: int) -> None:
        self._base = region.base
        self._content = region.content
        self._last = len(region.content) - width
        self._width = width
        self._unpack = Struct(f"<{_CODES[width]}").unpack_from

    def read(self, address: int) -> int | None:
        """Return the pointer at an address, None if it is not all in the stack."""
        start = address - self._base
        if 0 <= start <= self._last:
            value: int = self._unpack(self._content, start)[0]
            return value
        return None

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Return up to `count` pointers from an address on, less where the stack ends."""
        start = address - self._base
        if not 0 <= start <= self._last:
            return ()
        count = min(count, (len(self._content) - start) // self._width)
        return unpack_from(f"<{count}{_CODES[self._width]}", self._content, start)

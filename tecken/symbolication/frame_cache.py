"""Rendered frames kept in the process: stacks repeat, so most frames of a request were rendered before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock

from tecken.symbolication.memory_cache import Bounded

_ENTRY_BYTES = 300  # the LRU's three dictionaries, the key and the bytes object, measured


class FrameCache:
    """JSON bytes by (version, generation, offset); what a generation says never changes."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = Lock()
        self._entries: Bounded[tuple[str, str, int], bytes] = Bounded(max_bytes, _size)

    def get(self, version: str, generation: str, offsets: Iterable[int]) -> dict[int, bytes]:
        """Those offsets that are known."""
        found = {}
        get = self._entries.get
        with self._lock:
            for offset in offsets:
                rendered = get((version, generation, offset))
                if rendered is not None:
                    found[offset] = rendered
        return found

    def put(self, version: str, generation: str, frames: Mapping[int, bytes]) -> None:
        with self._lock:
            for offset, rendered in frames.items():
                self._entries.keep((version, generation, offset), rendered)

    def resize(self, max_bytes: int) -> None:
        with self._lock:
            self._entries.resize(max_bytes)

    @property
    def size(self) -> int:
        """Bytes held, never more than the bound."""
        return int(self._entries.currsize)


def _size(rendered: bytes) -> int:
    return len(rendered) + _ENTRY_BYTES

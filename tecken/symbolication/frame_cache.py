"""Cache of rendered frames in the process: stacks repeat, so most frames of a request are in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock

from tecken.symbolication.memory_cache import Bounded

# Bytes of one entry apart from its text: three dictionaries of the LRU cache, the key and the bytes object
# (measured).
_ENTRY_BYTES = 300


class FrameCache:
    """Cache of JSON bytes by (version, generation, offset).

    A generation is a hash of the symbols, so an entry is never invalidated; it is evicted when it is not
    used.
    """

    def __init__(self, max_bytes: int) -> None:
        self._lock = Lock()
        self._entries: Bounded[tuple[str, str, int], bytes] = Bounded(max_bytes, _size)

    def get(self, version: str, generation: str, offsets: Iterable[int]) -> dict[int, bytes]:
        """Return the rendered frames of those offsets that are cached."""
        found = {}
        # One lock for all offsets of a module, and the method looked up once: this loop runs for each
        # distinct frame of every request.
        get = self._entries.get
        with self._lock:
            for offset in offsets:
                rendered = get((version, generation, offset))
                if rendered is not None:
                    found[offset] = rendered
        return found

    def put(self, version: str, generation: str, frames: Mapping[int, bytes]) -> None:
        """Store rendered frames by offset."""
        with self._lock:
            for offset, rendered in frames.items():
                self._entries.keep((version, generation, offset), rendered)

    def resize(self, max_bytes: int) -> None:
        """Set the bound in bytes."""
        with self._lock:
            self._entries.resize(max_bytes)

    @property
    def size(self) -> int:
        """Bytes held, never more than the bound."""
        return int(self._entries.currsize)


def _size(rendered: bytes) -> int:
    return len(rendered) + _ENTRY_BYTES

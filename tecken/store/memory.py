"""Page store in memory, for the demo mode and for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cachetools import LRUCache, TLRUCache

from tecken.store.port import Missing, PageKey
from tecken.symbols.ids import ObjectId

MARKERS = 10_000


class _Marker(NamedTuple):
    missing: Missing
    expires: float
    spelling: str


def _expires(_module: ObjectId, marker: _Marker, _now: float) -> float:
    return marker.expires


class MemoryPageStore:
    """Store of at most `max_bytes` of headers and pages, and of MARKERS missing markers.

    The least recently used ones are evicted. `clock` returns seconds. No method raises StoreUnavailable.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._values: LRUCache[ObjectId | PageKey, bytes] = LRUCache(max_bytes, getsizeof=len)
        self._missing: TLRUCache[ObjectId, _Marker] = TLRUCache(MARKERS, ttu=_expires, timer=clock)

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """Return headers or missing markers. Unknown modules are left out."""
        with self._lock:
            found = {module: self._find(module) for module in modules}
        return {module: value for module, value in found.items() if value is not None}

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages. Evicted pages are left out."""
        with self._lock:
            return {key: self._values[key] for key in wanted if key in self._values}

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Store a header, and delete the missing marker."""
        with self._lock:
            self._missing.pop(module, None)
            self._keep(module, raw)

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        """Store pages."""
        with self._lock:
            for key, raw in pages.items():
                self._keep(key, raw)

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Store a missing marker for `seconds`."""
        with self._lock:
            self._missing[module] = _Marker(missing, self._clock() + seconds, module.debug_file)

    def missing_seconds(self, module: ObjectId) -> float | None:
        """Return the seconds until a missing marker expires; None without one."""
        with self._lock:
            marker = self._missing.get(module)
            return marker.expires - self._clock() if marker else None

    def forget(self, module: ObjectId) -> None:
        """Delete header and missing marker."""
        with self._lock:
            self._values.pop(module, None)
            self._missing.pop(module, None)

    def _find(self, module: ObjectId) -> bytes | Missing | None:
        raw = self._values.get(module)
        if raw is not None:
            return raw
        marker = self._missing.get(module)
        if marker is None:
            return None
        is_other = marker.missing.is_of_spelling(module) and marker.spelling != module.debug_file
        return None if is_other else marker.missing

    def _keep(self, key: ObjectId | PageKey, raw: bytes) -> None:
        # The old value is removed first, also when the new one is too large: it must not stay in its place.
        self._values.pop(key, None)
        if len(raw) <= self._values.maxsize:
            self._values[key] = raw

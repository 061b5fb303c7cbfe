"""What fits into so many bytes, without what was not used for longest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, TypeVar

from cachetools import LRUCache

from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tecken.symbols.pagefile.page import Page

K = TypeVar("K")
V = TypeVar("V")


class Bounded(LRUCache[K, V]):
    """The bound may change while it is in use. Not thread-safe, as its base."""

    def __init__(self, max_bytes: int, getsizeof: Callable[[V], float]) -> None:
        super().__init__(math.inf, getsizeof)
        self._max_bytes = max_bytes

    def keep(self, key: K, value: V) -> None:
        """Unless it is larger than all together may be."""
        if self.getsizeof(value) <= self._max_bytes:
            self[key] = value
            self._shrink()

    def resize(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self.currsize > self._max_bytes:
            self.popitem()


class _Dated(NamedTuple):
    header: Header
    at: float


class HeaderCache:
    """Headers, each trusted for `seconds()`: after that somebody must be asked whether it was replaced."""

    def __init__(
        self, max_bytes: int, seconds: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._doubted = -math.inf
        self._lock = Lock()
        self._entries: Bounded[ObjectId, _Dated] = Bounded(max_bytes, lambda entry: entry.header.size)

    def get(self, module: ObjectId) -> Header | None:
        with self._lock:
            entry = self._entries.get(module)
        return entry.header if entry and self._trusted(entry) else None

    def put(self, module: ObjectId, raw: bytes) -> Header:
        """Parse `raw`, or keep the parsed header when nothing has changed. Raises MalformedPageFile."""
        with self._lock:
            entry = self._entries.get(module)
        header = entry.header if entry and entry.header.raw == raw else Header.parse(raw)
        with self._lock:
            self._entries.keep(module, _Dated(header, self._clock()))
        return header

    def drop(self, module: ObjectId) -> None:
        with self._lock:
            self._entries.pop(module, None)

    def doubt(self) -> None:
        """Trust none of those that are here now."""
        self._doubted = self._clock()

    def resize(self, max_bytes: int) -> None:
        with self._lock:
            self._entries.resize(max_bytes)

    @property
    def size(self) -> int:
        return int(self._entries.currsize)

    def _trusted(self, entry: _Dated) -> bool:
        return self._doubted < entry.at and self._clock() < entry.at + self._seconds()


class PageCache:
    """Decoded pages by (generation, page number): what a key holds never changes."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = Lock()
        self._pages: Bounded[tuple[str, int], Page] = Bounded(max_bytes, lambda page: page.size)

    def get(self, key: tuple[str, int]) -> Page | None:
        with self._lock:
            return self._pages.get(key)

    def put(self, key: tuple[str, int], page: Page) -> None:
        with self._lock:
            self._pages.keep(key, page)

    def resize(self, max_bytes: int) -> None:
        with self._lock:
            self._pages.resize(max_bytes)

    @property
    def size(self) -> int:
        return int(self._pages.currsize)

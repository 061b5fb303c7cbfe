"""Headers and decoded pages kept in the process, bounded by the bytes they hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache

from tecken.symbols.ids import ModuleKey
from tecken.symbols.page import Page
from tecken.symbols.pagefile import Header


class _Trusted(NamedTuple):
    header: Header
    until: float


class HeaderCache:
    """Headers, each trusted for `seconds`: after that somebody must be asked whether it was replaced."""

    def __init__(self, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._doubted = 0.0
        self._lock = Lock()
        self._entries: LRUCache[ModuleKey, _Trusted] = LRUCache(max_bytes, getsizeof=lambda e: e.header.size)

    def get(self, module: ModuleKey) -> Header | None:
        with self._lock:
            entry = self._entries.get(module)
        return entry.header if entry and max(self._clock(), self._doubted) < entry.until else None

    def put(self, module: ModuleKey, raw: bytes) -> Header:
        """Parse `raw`, or keep the parsed header when nothing has changed. Raises MalformedPageFile."""
        with self._lock:
            entry = self._entries.get(module)
        header = entry.header if entry and entry.header.raw == raw else Header.parse(raw)
        if header.size <= self._entries.maxsize:
            with self._lock:
                self._entries[module] = _Trusted(header, self._clock() + self._seconds)
        return header

    def drop(self, module: ModuleKey) -> None:
        with self._lock:
            self._entries.pop(module, None)

    def doubt(self) -> None:
        """Trust none of those that are here now."""
        self._doubted = self._clock() + self._seconds

    @property
    def size(self) -> int:
        return int(self._entries.currsize)


class PageCache:
    """Decoded pages by (generation, page number): what a key holds never changes."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = Lock()
        self._pages: LRUCache[tuple[str, int], Page] = LRUCache(max_bytes, getsizeof=lambda page: page.size)

    def get(self, key: tuple[str, int]) -> Page | None:
        with self._lock:
            return self._pages.get(key)

    def put(self, key: tuple[str, int], page: Page) -> None:
        if page.size <= self._pages.maxsize:
            with self._lock:
                self._pages[key] = page

    @property
    def size(self) -> int:
        return int(self._pages.currsize)

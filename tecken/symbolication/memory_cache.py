"""Caches in the process's memory, bounded in bytes; the least recently used entries are evicted."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import OFFSET_END, Header
from tecken.symbols.pagefile.page import KeptPage, Page

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """LRU cache with a bound in bytes that may change while it is in use. Not thread-safe."""

    # An ordered dictionary and a sum: a request gets and stores each of its frames, and cachetools takes six
    # times as long for that (bench/lookup.py --frame).

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        # The least recently used entry comes first. A reader moves its entry to the end.
        self.entries: OrderedDict[K, V] = OrderedDict()
        self.size = 0

    def get(self, key: K) -> V | None:
        """Return a value and make it the most recently used one."""
        value = self.entries.get(key)
        if value is not None:
            self.entries.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        """Store a value, unless it is larger than the bound."""
        self.keep_all({key: value})

    def keep_all(self, items: Mapping[K, V]) -> None:
        """Store values, except those that are larger than the bound."""
        entries, size_of, bound = self.entries, self._size_of, self._max_bytes
        for key, value in items.items():
            size = size_of(value)
            if size <= bound:
                if key in entries:
                    self.drop(key)
                entries[key] = value
                self.size += size
                if self.size > bound:
                    self._shrink()

    def drop(self, key: K) -> None:
        """Remove a value."""
        value = self.entries.pop(key, None)
        if value is not None:
            self.size -= self._size_of(value)

    def resize(self, max_bytes: int) -> None:
        """Set the bound and evict what exceeds it."""
        self._max_bytes = max_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self.size > self._max_bytes:
            _key, value = self.entries.popitem(last=False)
            self.size -= self._size_of(value)


class _Dated(NamedTuple):
    header: Header
    at: float


class HeaderCache:
    """Cache of headers, each trusted for `seconds()`; after that the store has to confirm it."""

    def __init__(
        self, max_bytes: int, seconds: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        # Headers older than this moment are not trusted.
        self._trusted_from = -math.inf
        # Reading an LRU cache changes its order, so even `get` needs the lock: without it, two threads would
        # corrupt the linked list. It is never held while a header is parsed.
        self._lock = Lock()
        self._entries: Bounded[ObjectId, _Dated] = Bounded(max_bytes, lambda entry: entry.header.size)

    def get(self, module: ObjectId) -> Header | None:
        """Return the header if it is cached and still trusted."""
        with self._lock:
            entry = self._entries.get(module)
        return entry.header if entry and self._is_trusted(entry) else None

    def put(self, module: ObjectId, raw: bytes) -> Header:
        """Store and return the header in `raw`. Raises MalformedPageFile.

        The header that is cached is kept when its bytes are the same, with its decompressor.
        """
        # Parsed outside the lock: two threads may parse the same header, which costs less than making every
        # other thread wait.
        with self._lock:
            entry = self._entries.get(module)
        header = entry.header if entry and entry.header.raw == raw else Header.parse(raw)
        with self._lock:
            self._entries.keep(module, _Dated(header, self._clock()))
        return header

    def drop(self, module: ObjectId) -> None:
        """Remove a header."""
        with self._lock:
            self._entries.drop(module)

    def invalidate_all(self) -> None:
        """Stop trusting the headers that are cached now."""
        self._trusted_from = self._clock()

    def resize(self, max_bytes: int) -> None:
        """Set the bound in bytes."""
        with self._lock:
            self._entries.resize(max_bytes)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._entries.size

    def _is_trusted(self, entry: _Dated) -> bool:
        return self._trusted_from < entry.at and self._clock() < entry.at + self._seconds()


class PageCache:
    """Cache of pages by (generation, page number), in the form of `Header.load`.

    A generation is a hash of the content, so an entry is never invalidated; it is evicted when it is not
    used. With the engine, its cache has the pages, and searches take them from there. It packs those that
    were not used lately before it evicts them.
    """

    def __init__(self, max_bytes: int) -> None:
        self.of_engine = engine.MODULE.PageCache(max_bytes) if engine.MODULE else None
        self._lock = Lock()
        self._pages: Bounded[tuple[str, int], Page] = Bounded(max_bytes, lambda page: page.size)

    def get(self, key: tuple[str, int]) -> KeptPage | None:
        """Return the page if it is cached."""
        return self.get_all([key]).get(key)

    def get_all(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], KeptPage]:
        """Return those pages that are cached."""
        kept: dict[tuple[str, int], KeptPage | None]
        if self.of_engine:
            kept = {key: self.of_engine.get(int(key[0], 16), key[1]) for key in keys}
        else:
            with self._lock:
                kept = {key: self._pages.get(key) for key in keys}
        return {key: page for key, page in kept.items() if page is not None}

    def put(self, generation: str, pages: Mapping[int, KeptPage]) -> None:
        """Store pages of one page file by number."""
        if self.of_engine:
            loaded = [(number, page) for number, page in pages.items() if not isinstance(page, Page)]
            self.of_engine.put(int(generation, 16), loaded)
            return
        with self._lock:
            for number, page in pages.items():
                if isinstance(page, Page):
                    self._pages.keep((generation, number), page)

    def resize(self, max_bytes: int) -> None:
        """Set the bound in bytes."""
        if self.of_engine:
            self.of_engine.resize(max_bytes)
        with self._lock:
            self._pages.resize(max_bytes)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.of_engine.size if self.of_engine else self._pages.size


# Bytes of one entry apart from its text: its place in the dictionary, its key and the bytes object (measured:
# 240).
_ENTRY_BYTES = 300


class FrameCache:
    """Cache of JSON bytes by (version, generation, offset).

    A generation is a hash of the symbols, so an entry is never invalidated; it is evicted when it is not
    used. With the engine, its cache has the frames, which are then `EngineFrames`, apart from those of
    offsets that no symbol file can have. It packs frames before it evicts them, as it does with pages.
    """

    def __init__(self, max_bytes: int) -> None:
        self._of_engine = engine.MODULE.FrameCache(max_bytes) if engine.MODULE else None
        self._lock = Lock()
        self._entries: Bounded[tuple[str, str, int], bytes] = Bounded(max_bytes, _size)

    def get(self, version: str, generation: str, offsets: Collection[int]) -> Mapping[int, bytes]:
        """Return the rendered frames of those offsets that are cached."""
        if self._of_engine:
            return self._of_engine.get(version, int(generation, 16), offsets)
        found = {}
        # One lock for all offsets of a module, and no call of a Python function: this loop runs for each
        # distinct frame of every request.
        get, move_to_end = self._entries.entries.get, self._entries.entries.move_to_end
        with self._lock:
            for offset in offsets:
                key = (version, generation, offset)
                rendered = get(key)
                if rendered is not None:
                    move_to_end(key)
                    found[offset] = rendered
        return found

    def put(self, version: str, generation: str, frames: Mapping[int, bytes]) -> None:
        """Store rendered frames by offset."""
        if self._of_engine:
            self._of_engine.put(version, int(generation, 16), _engine_frames(frames))
            return
        entries = {(version, generation, offset): rendered for offset, rendered in frames.items()}
        with self._lock:
            self._entries.keep_all(entries)

    def resize(self, max_bytes: int) -> None:
        """Set the bound in bytes."""
        if self._of_engine:
            self._of_engine.resize(max_bytes)
        with self._lock:
            self._entries.resize(max_bytes)

    @property
    def size(self) -> int:
        """Bytes held, never more than the bound."""
        return self._of_engine.size if self._of_engine else self._entries.size


def merge_frames(frames: Mapping[int, bytes], others: Mapping[int, bytes]) -> Mapping[int, bytes]:
    """Return the frames of both, in the memory of the engine if both are there."""
    if not frames:
        return others
    if engine.are_engine_frames(frames) and engine.are_engine_frames(others):
        return frames | others
    return {**frames, **others}


def _engine_frames(frames: Mapping[int, bytes]) -> engine.EngineFrames:
    assert engine.MODULE
    if engine.are_engine_frames(frames):
        return frames
    return engine.MODULE.Frames.of({offset: it for offset, it in frames.items() if 0 <= offset < OFFSET_END})


def _size(rendered: bytes) -> int:
    return len(rendered) + _ENTRY_BYTES

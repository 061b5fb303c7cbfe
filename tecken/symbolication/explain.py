"""Explanation of where a module's symbols are, or why they are missing, from every part of the system."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from tecken.errors import MalformedPageFile, NotFound, Pending, StoreUnavailable, Unavailable
from tecken.storage.backends.files import stored_symbols
from tecken.storage.lookup_log import LookupLog, LookupRecord
from tecken.storage.port import PageFiles, Stored
from tecken.storage.presence_cache import (
    PresenceCache,
    Remembered,
    regular_file_key,
    try_file_key,
    upstream_file_key,
)
from tecken.storage.search import Search
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.status import ConversionTracker, State
from tecken.symbolication.loader import ConversionQueue
from tecken.symbolication.page_reader import read_header
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.pagefile.file import Header, is_header

T = TypeVar("T")
THREADS = 10


class OwnStorage(NamedTuple):
    """One of our storages, and the symbol file in it."""

    name: str
    now: Stored | Unavailable | None


class UpstreamResult(NamedTuple):
    """One upstream, whether an operator has disabled it, and whether clients get its files."""

    name: str
    is_off: bool
    is_served: bool = True


class Marked(NamedTuple):
    """Missing marker in the store and the seconds until it expires; None when it has just expired."""

    missing: Missing
    seconds: float | None


class Native(NamedTuple):
    """Paths of a module's native files in our storage, and a sentence for each file that is missing."""

    paths: tuple[str, ...]
    missing: tuple[str, ...]


class Cached(NamedTuple):
    """State on redis-cache: the conversion, the last search, and the presence cache for downloads."""

    state: State
    look: LookupRecord | None
    regular: Remembered
    of_try: Remembered
    upstream: Remembered


class Explanation(NamedTuple):
    """State of each part. A part that did not respond has its error in place of its state."""

    key: FileKey
    regular: OwnStorage
    of_try: OwnStorage
    native: Native | Unavailable | None
    try_native: Native | Unavailable | None
    upstreams: tuple[UpstreamResult, ...]
    page_file: Header | Unavailable | None
    store: int | Marked | Unavailable | None
    """Bytes of the header, or the missing marker."""
    cache: Cached | Unavailable


class Explainer:
    """Reader of every part's state, side by side in a pool of threads.

    `seconds` is the time for all parts together. A slower read is abandoned but keeps its thread until it
    ends.
    """

    def __init__(
        self,
        *,
        search: Search,
        page_files: PageFiles,
        store: PageStore,
        tracker: ConversionTracker,
        lookup_log: LookupLog,
        presence_cache: PresenceCache,
        queue: ConversionQueue,
        seconds: float = 3.0,
    ) -> None:
        self._search = search
        self._page_files = page_files
        self._store = store
        self._tracker = tracker
        self._lookup_log = lookup_log
        self._presence_cache = presence_cache
        self._queue = queue
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="explain")

    def explain(self, module: ObjectId) -> Explanation:
        """Return the state of every part for `module`. Upstreams are not requested: only workers do that."""
        deadline = time.monotonic() + self._seconds
        regular = self._start(stored_symbols, self._search.regular, module)
        of_try = self._start(stored_symbols, self._search.try_files, module)
        page_file = self._start(self._find_header, module)
        store = self._start(self._find_entry, module)
        cache = self._start(self._find_cached, module)
        return Explanation(
            symbol_file(module),
            OwnStorage(self._search.regular.name, self._wait(regular, deadline)),
            OwnStorage(self._search.try_files.name, self._wait(of_try, deadline)),
            # In this thread, which has a connection to the database.
            self._find_native_files(module),
            self._find_native_files(module.in_try()),
            tuple(
                UpstreamResult(upstream.name, upstream.is_off, upstream.is_served)
                for upstream in self._search.upstreams
            ),
            self._wait(page_file, deadline),
            self._wait(store, deadline),
            self._wait(cache, deadline),
        )

    def look_again(self, module: ObjectId) -> None:
        """Remove every missing marker and have a worker search again. Raises Unavailable.

        Any number of calls at the same time causes one search.
        """
        with suppress(StoreUnavailable):
            self._store.forget(module)
        self._presence_cache.forget(_presence_keys(module))
        self._tracker.forget(module)
        # The deadline has passed already, so this sends the job and does not wait for it.
        outcome = self._queue.convert_and_wait([module], time.monotonic()).get(module)
        if isinstance(outcome, Unavailable) and not isinstance(outcome, Pending):
            raise outcome

    def _find_native_files(self, module: ObjectId) -> Native | Unavailable | None:
        return _call(partial(_find_native, module)) if self._search.native else None

    def _find_header(self, module: ObjectId) -> Header | None:
        with suppress(NotFound, MalformedPageFile):
            return Header.parse(read_header(self._page_files, module))
        return None

    def _find_entry(self, module: ObjectId) -> int | Marked | None:
        entry = self._store.headers([module]).get(module)
        if isinstance(entry, Missing):
            return Marked(entry, self._store.missing_seconds(module))
        return len(entry) if entry and is_header(entry) else None

    def _find_cached(self, module: ObjectId) -> Cached:
        (state,) = self._tracker.get([module])
        last_search = self._lookup_log.last(module)
        return Cached(state, last_search, *self._presence_cache.describe(_presence_keys(module)))

    def _start(self, call: Callable[..., T], *arguments: object) -> Future[T | Unavailable]:
        return self._pool.submit(_call, partial(call, *arguments))

    def _wait(self, future: Future[T | Unavailable], deadline: float) -> T | Unavailable:
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            return Unavailable(f"no answer in {self._seconds:g} s")


def _find_native(module: ObjectId) -> Native | None:
    """Return the native files of a module. Raises Unavailable."""
    # Models can be imported only after Django has loaded its applications.
    from tecken.storage.native import find_parents_if_any  # noqa: PLC0415

    parents = find_parents_if_any(module)
    if parents is None:
        return None
    files = (parents.main, *parents.others.values())
    return Native(tuple(str(file.key) for file in files), tuple(parents.missing()))


def _call(call: Callable[[], T]) -> T | Unavailable:
    """Return the result of a call, or its Unavailable."""
    try:
        return call()
    except Unavailable as error:
        return error


def _presence_keys(module: ObjectId) -> list[str]:
    """Return the keys of the module's symbol file in the presence cache."""
    kinds: tuple[Callable[[FileKey], str], ...] = (regular_file_key, try_file_key, upstream_file_key)
    return [key(symbol_file(module)) for key in kinds]

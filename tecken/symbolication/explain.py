"""Why a module's symbols are missing, or where they are: what every part says of it, asked side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from tecken.errors import Absent, CouldNotAsk, MalformedPageFile, Pending, StoreAway
from tecken.storage import keys
from tecken.storage.backends.uploaded_files import stored_symbols
from tecken.storage.lookup_log import Journal, Look
from tecken.storage.port import FileKey, PageFiles, Stored, symbol_file
from tecken.storage.presence_cache import Known, Remembered
from tecken.storage.search import Search
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.status import Board, State
from tecken.symbolication.loader import Cold
from tecken.symbolication.page_reader import read_header
from tecken.symbols.ids import ModuleKey
from tecken.symbols.pagefile.file import Header, is_header

T = TypeVar("T")
THREADS = 10


class Own(NamedTuple):
    """One of our storages, and its symbol file as it is now."""

    name: str
    now: Stored | CouldNotAsk | None


class Upstream(NamedTuple):
    name: str
    is_off: bool


class Marked(NamedTuple):
    """The store remembers a "no"; None seconds when it expired meanwhile."""

    missing: Missing
    seconds: float | None


class Cached(NamedTuple):
    """On redis-cache: whether a worker is at it, what sources said last, and what downloads are told."""

    state: State
    look: Look | None
    regular: Remembered
    of_try: Remembered
    upstream: Remembered


class Explanation(NamedTuple):
    """A part that did not answer has its error in place of what it would have said."""

    key: FileKey
    regular: Own
    of_try: Own
    upstreams: tuple[Upstream, ...]
    page_file: Header | CouldNotAsk | None
    store: int | Marked | CouldNotAsk | None
    """Bytes of a header, or a "no"."""
    cache: Cached | CouldNotAsk


class Explainer:
    """`seconds` is for all parts together; a slower one keeps its thread until it ends."""

    def __init__(
        self,
        *,
        search: Search,
        page_files: PageFiles,
        store: PageStore,
        board: Board,
        journal: Journal,
        known: Known,
        cold: Cold,
        seconds: float = 3.0,
    ) -> None:
        self._search = search
        self._page_files = page_files
        self._store = store
        self._board = board
        self._journal = journal
        self._known = known
        self._cold = cold
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="explain")

    def explain(self, module: ModuleKey) -> Explanation:
        """Asks no upstream: that is for workers."""
        until = time.monotonic() + self._seconds
        regular = self._ask(stored_symbols, self._search.regular, module)
        of_try = self._ask(stored_symbols, self._search.try_files, module)
        page_file = self._ask(self._page_file, module)
        store = self._ask(self._stored, module)
        cache = self._ask(self._cached, module)
        return Explanation(
            symbol_file(module),
            Own(self._search.regular.name, self._answer(regular, until)),
            Own(self._search.try_files.name, self._answer(of_try, until)),
            tuple(Upstream(one.name, one.is_off) for one in self._search.upstreams),
            self._answer(page_file, until),
            self._answer(store, until),
            self._answer(cache, until),
        )

    def look_again(self, module: ModuleKey) -> None:
        """Forget every "no", and have a worker look; once, however many ask for it. Raises CouldNotAsk."""
        with suppress(StoreAway):
            self._store.forget(module)
        self._known.forget(_names(module))
        self._board.forget(module)
        answer = self._cold.bring([module], time.monotonic()).get(module)
        if isinstance(answer, CouldNotAsk) and not isinstance(answer, Pending):
            raise answer

    def _page_file(self, module: ModuleKey) -> Header | None:
        with suppress(Absent, MalformedPageFile):
            return Header.parse(read_header(self._page_files, module))
        return None

    def _stored(self, module: ModuleKey) -> int | Marked | None:
        found = self._store.headers([module]).get(module)
        if isinstance(found, Missing):
            return Marked(found, self._store.missing_seconds(module))
        return len(found) if found and is_header(found) else None

    def _cached(self, module: ModuleKey) -> Cached:
        (state,) = self._board.look([module])
        look = self._journal.last(module)
        return Cached(state, look, *self._known.remembered(_names(module)))

    def _ask(self, call: Callable[..., T], *arguments: object) -> Future[T | CouldNotAsk]:
        return self._pool.submit(_told, partial(call, *arguments))

    def _answer(self, future: Future[T | CouldNotAsk], until: float) -> T | CouldNotAsk:
        try:
            return future.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            future.cancel()
            return CouldNotAsk(f"no answer in {self._seconds:g} s")


def _told(call: Callable[[], T]) -> T | CouldNotAsk:
    try:
        return call()
    except CouldNotAsk as error:
        return error


def _names(module: ModuleKey) -> list[str]:
    """Of what downloads are told of its symbol file."""
    kinds: tuple[Callable[[FileKey], str], ...] = (keys.regular_file, keys.try_file, keys.upstream_file)
    return [key(symbol_file(module)) for key in kinds]

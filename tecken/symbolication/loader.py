"""Loader of headers and pages: from this process, from the store, or from page files.

The rest of the package depends on `ModuleSource` and `ConversionQueue`; tests implement them in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from tecken.errors import MalformedPageFile, StoreUnavailable, TooLarge, Unavailable
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbolication.conversion.status import NO_OFFSETS, EarlyFrames, Offsets
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbolication.page_reader import PageBatch, PageFileReader
from tecken.symbolication.trace import Trace
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, decoded_bytes
from tecken.symbols.pagefile.page import KeptPage


class Pages(NamedTuple):
    """Pages that were found, and modules whose pages were not.

    `found` is keyed by (generation, page number). A page that is not in it belongs to a module in `replaced`
    or `unreachable`.
    """

    found: dict[tuple[str, int], KeptPage]
    replaced: set[ObjectId]
    """Modules that have another page file than the header is from. Load the header again and retry once."""
    unreachable: dict[ObjectId, Missing]
    """Modules whose pages could be read neither from the store nor from the page file: "unreachable"."""


class ModuleSource(Protocol):
    """Access to headers and pages. A failure of one module is part of the result and raises nothing."""

    def headers(
        self, modules: Iterable[ObjectId], trace: Trace, most: int | None = None
    ) -> dict[ObjectId, Header | Missing]:
        """Return headers and known reasons; a module that is not in the result is cold.

        Page files are read for at most `most` modules that are neither in this process nor in the store; the
        others are "unreachable".
        """
        ...

    def pages(self, wanted: Iterable[tuple[ObjectId, Header, int]], trace: Trace) -> Pages:
        """Return pages by module, header and page number.

        Raises TooLarge when they are too large together.
        """
        ...

    @property
    def engine_cache(self) -> engine.EngineCache | None:
        """Cache of the engine, whose pages `pages` need not return; None without one."""
        ...


class ConversionQueue(Protocol):
    """Conversion of cold modules."""

    def convert_and_wait(
        self,
        modules: Sequence[ObjectId],
        deadline: float,
        client: str = "",
        offsets: Offsets = NO_OFFSETS,
    ) -> Mapping[ObjectId, Missing | Unavailable | EarlyFrames]:
        """Have modules converted and wait for them until `deadline`, a moment of `time.monotonic()`.

        `client` names the client that shares workers with others; modules of one client wait for each other.
        The result of a module may be the frames of all its `offsets`, before its header exists.

        A module that is not in the result is ready: load its header again. Pending means that it was not
        ready in time; its conversion continues.
        """
        ...


# Bytes of pages that one request may hold in memory, apart from those in the process's cache. 20,000 frames,
# each on a page of its own, need 340 MB; a hostile file can have pages of 2 MiB.
MAX_OPEN_BYTES = 512 * 1024 * 1024

TOO_MANY = "more than {} modules of this request are in no cache: ask again, and for fewer at once"

Headers = dict[ObjectId, Header | Missing]
Wanted = dict[PageKey, Header]


def _ignore_old(_modules: Sequence[ObjectId]) -> None:
    pass


def _ignore_lookup(_wanted: Collection[PageKey], _found: Collection[PageKey]) -> None:
    pass


class SymbolLoader:
    """Loader of headers and pages through three tiers: this process, the store, page files.

    Each tier is read once per call for everything that the tiers above do not have, so the number of round
    trips does not depend on the number of modules or pages. Items of a lower tier are put into the tiers
    above. An unavailable store costs page-file reads but raises nothing. No method waits for a conversion.
    """

    def __init__(
        self,
        store: PageStore,
        reader: PageFileReader,
        headers: HeaderCache,
        pages: PageCache,
        note_lookup: Callable[[Collection[PageKey], Collection[PageKey]], None] = _ignore_lookup,
        *,
        renew: Callable[[Sequence[ObjectId]], None] = _ignore_old,
    ) -> None:
        """Initialize the loader.

        Args:
            store: Headers and pages on redis-store.
            reader: Headers and pages in page files.
            headers: This process's cache of headers.
            pages: This process's cache of pages.
            note_lookup: Called with the keys of each lookup in the store and with those that were found.
            renew: Called with modules whose page files have an older format version, when their headers are
                loaded. It returns at once and raises nothing.
        """
        self._store = store
        self._note_lookup = note_lookup
        self._renew = renew
        self._reader = reader
        self._headers = headers
        self._pages = pages

    def headers(self, modules: Iterable[ObjectId], trace: Trace, most: int | None = None) -> Headers:
        """Return headers and known reasons; see `ModuleSource.headers`."""
        found: Headers = {}
        # One lookup and one append per module: this loop runs for every module of every warm request.
        rest = []
        for module in modules:
            header = self._headers.get(module)
            if header is None:
                rest.append(module)
            else:
                found[module] = header
        trace.headers.process += len(found)
        if rest:
            found |= self._headers_from_store(rest, trace)
        rest = [module for module in rest if module not in found]
        if most is not None and len(rest) > most:
            found |= dict.fromkeys(rest[most:], Missing("unreachable", TOO_MANY.format(most)))
            rest = rest[:most]
        if rest:
            found |= self._headers_from_page_files(rest, trace)
        return found

    def pages(self, wanted: Iterable[tuple[ObjectId, Header, int]], trace: Trace) -> Pages:
        """Return pages, and drop headers of replaced page files from this process and the store.

        Raises:
            TooLarge: The pages from the store, or those from page files, take more than MAX_OPEN_BYTES.
        """
        wanted = list(wanted)
        found = self._pages.get_all([(header.generation, number) for _, header, number in wanted])
        trace.pages.process += len(found)
        answer = Pages(found, set(), {})
        rest: Wanted = {}
        if len(found) < len(wanted):
            rest = {
                PageKey(module, header.generation, number): header
                for module, header, number in wanted
                if (header.generation, number) not in found
            }
        if rest:
            self._add_stored_pages(rest, answer, trace)
        if rest:
            self._add_pages_of_files(rest, answer, trace)
        return answer

    @property
    def engine_cache(self) -> engine.EngineCache | None:
        """The engine's cache of pages, None without the engine."""
        return self._pages.of_engine

    def drop(self, module: ObjectId) -> None:
        """Drop the header of a module whose symbols have changed; the next request loads it again."""
        self._headers.drop(module)

    def invalidate_all(self) -> None:
        """Load every header again when it is needed next, because any module may have changed."""
        self._headers.invalidate_all()

    def _headers_from_store(self, modules: Sequence[ObjectId], trace: Trace) -> Headers:
        start = time.perf_counter()
        stored: dict[ObjectId, bytes | Missing] = {}
        with suppress(StoreUnavailable):
            stored = self._store.headers(modules)
        trace.store.add(len(modules), len(stored), time.perf_counter() - start)
        found: Headers = {}
        for module, entry in stored.items():
            # A header of another format version counts as absent.
            with suppress(MalformedPageFile):
                found[module] = entry if isinstance(entry, Missing) else self._parse(module, entry, trace)
        trace.headers.store += len(found)
        self._renew_old(found)
        return found

    def _headers_from_page_files(self, modules: Sequence[ObjectId], trace: Trace) -> Headers:
        found: Headers = {}
        for module, raw in zip(modules, self._reader.headers(modules, trace), strict=True):
            if isinstance(raw, Unavailable):
                found[module] = Missing("unreachable", str(raw))
            elif raw is not None:
                with suppress(MalformedPageFile, StoreUnavailable):
                    found[module] = self._parse(module, raw, trace)
                    self._store.put_header(module, raw)
        trace.headers.page_file += len(found)
        self._renew_old(found)
        return found

    def _renew_old(self, headers: Headers) -> None:
        old = [module for module, it in headers.items() if isinstance(it, Header) and not it.is_current]
        if old:
            self._renew(old)

    def _parse(self, module: ObjectId, raw: bytes, trace: Trace) -> Header:
        start = time.perf_counter()
        header = self._headers.put(module, raw)
        trace.add_parsing(module, time.perf_counter() - start)
        return header

    def _add_stored_pages(self, rest: Wanted, answer: Pages, trace: Trace) -> None:
        """Move the pages that the store has from `rest` to `answer`."""
        start = time.perf_counter()
        stored: dict[PageKey, bytes] = {}
        with suppress(StoreUnavailable):
            stored = self._store.pages(tuple(rest))
        trace.store.add(len(rest), len(stored), time.perf_counter() - start)
        self._note_lookup(rest, stored)
        # Compressed pages state their size, so a request that is too large ends before any page is unpacked.
        _check_size(stored.values())
        for batch in _batches({key: rest[key] for key in stored}):
            keys = batch.keys()
            # If one of them is malformed, all of them are read from the page file.
            if self._open(batch, [stored[key] for key in keys], answer, trace):
                trace.pages.store += len(keys)
                for key in keys:
                    del rest[key]

    def _add_pages_of_files(self, rest: Wanted, answer: Pages, trace: Trace) -> None:
        """Add the pages in `rest` to `answer`, from page files, and store them."""
        batches = _batches(rest)
        loaded: dict[PageKey, bytes] = {}
        # All page files are read at once: slow modules then cost the request one deadline and not several.
        results = self._reader.pages(batches, trace)
        _check_size(page for pages in results if isinstance(pages, list) for page in pages)
        for batch, pages in zip(batches, results, strict=True):
            if isinstance(pages, Unavailable):
                answer.unreachable[batch.module] = Missing("unreachable", str(pages))
            elif pages is None or not self._open(batch, pages, answer, trace):
                self._forget(batch.module)
                answer.replaced.add(batch.module)
            else:
                loaded |= zip(batch.keys(), pages, strict=True)
        trace.pages.page_file += len(loaded)
        with suppress(StoreUnavailable):
            if loaded:
                self._store.put_pages(loaded)

    def _open(self, batch: PageBatch, pages: Sequence[bytes], answer: Pages, trace: Trace) -> bool:
        """Open pages, and return whether all of them are valid; else none of them is kept."""
        start = time.perf_counter()
        try:
            opened = dict(zip(batch.pages, batch.header.load(pages), strict=True))
        except MalformedPageFile:
            return False
        trace.add_parsing(batch.module, time.perf_counter() - start)
        generation = batch.header.generation
        self._pages.put(generation, opened)
        answer.found.update({(generation, number): page for number, page in opened.items()})
        return True

    def _forget(self, module: ObjectId) -> None:
        """Drop the header of a replaced page file, here and in the store."""
        self._headers.drop(module)
        # If the store kept the header, this and every other process would load it again and fail again.
        with suppress(StoreUnavailable):
            self._store.forget(module)


def _check_size(pages: Iterable[bytes]) -> None:
    if sum(map(decoded_bytes, pages)) > MAX_OPEN_BYTES:
        raise TooLarge(
            f"The symbols of these frames take more than {MAX_OPEN_BYTES} bytes; ask for fewer frames at once"
        )


def _batches(wanted: Wanted) -> list[PageBatch]:
    batches: dict[tuple[ObjectId, str], PageBatch] = {}
    for key, header in wanted.items():
        batch = batches.setdefault(key[:2], PageBatch(key.module, header, []))
        batch.pages.append(key.page)
    return list(batches.values())

"""What a feature needs from this package, for type checking and for memory implementations in tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from tecken.errors import CouldNotAsk, MalformedPageFile, StoreAway, TooMuch
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbolication.page_reader import PageFileReader, Shelf
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, decoded_bytes
from tecken.symbols.pagefile.page import Page


class Pages(NamedTuple):
    """`found` is keyed by (generation, page number); a page left out is of a module in one of the others."""

    found: dict[tuple[str, int], Page]
    replaced: set[ObjectId]
    """Another page file took this one's place: ask `headers` again and start over, once."""
    unreachable: dict[ObjectId, Missing]
    """Neither the store nor the page file could be read; kind is "unreachable"."""


class Modules(Protocol):
    """Headers and pages, from wherever they are. Never raises for one module's trouble."""

    def headers(
        self, modules: Iterable[ObjectId], trace: Trace, most: int | None = None
    ) -> dict[ObjectId, Header | Missing]:
        """Left out: cold, there is no page file yet.

        Of modules that neither process nor store has, `most` are looked for; further ones are "unreachable".
        """
        ...

    def pages(self, wanted: Iterable[tuple[ObjectId, Header, int]], trace: Trace) -> Pages: ...


class Cold(Protocol):
    def bring(
        self, modules: Sequence[ObjectId], deadline: float, client: str = ""
    ) -> dict[ObjectId, Missing | CouldNotAsk]:
        """Have page files made, and wait until `deadline`, a moment of `time.monotonic()`.

        `client` names who is served in turn with others; modules of one client wait for each other.

        A module left out of the answer is ready: ask `headers` again. Pending: not in time, the work goes on.
        """
        ...


# Pages that one request may have in memory, apart from those that the process has. 20,000 frames, each on
# a page of its own, need 340 MB; a hostile file can have pages of 2 MiB.
MAX_OPEN_BYTES = 512 * 1024 * 1024

TOO_MANY = "more than {} modules of this request are in no cache: ask again, and for fewer at once"

Headers = dict[ObjectId, Header | Missing]
Wanted = dict[PageKey, Header]


def _unnoted(_wanted: Collection[PageKey], _found: Collection[PageKey]) -> None:
    pass


class Library:
    """Each tier is asked once for all that is left, and what a lower tier had is put into those above it.

    A store that is away costs page-file reads and no errors. Nothing here waits for a conversion.
    """

    def __init__(
        self,
        store: PageStore,
        reader: PageFileReader,
        headers: HeaderCache,
        pages: PageCache,
        asked: Callable[[Collection[PageKey], Collection[PageKey]], None] = _unnoted,
    ) -> None:
        """`asked` hears which pages the store was asked for, and which of them it had."""
        self._store = store
        self._asked = asked
        self._reader = reader
        self._headers = headers
        self._pages = pages

    def headers(self, modules: Iterable[ObjectId], trace: Trace, most: int | None = None) -> Headers:
        """Return what is known of `modules`; those left out are cold, there is no page file yet.

        Page files are looked for, and cold modules left out, only for the first `most` that process and store
        do not have. The others are "unreachable".
        """
        found: Headers = {}
        rest = []
        for module in modules:
            header = self._headers.get(module)
            if header is None:
                rest.append(module)
            else:
                found[module] = header
        trace.headers.process += len(found)
        if rest:
            found |= self._stored_headers(rest, trace)
        rest = [module for module in rest if module not in found]
        if most is not None and len(rest) > most:
            found |= dict.fromkeys(rest[most:], Missing("unreachable", TOO_MANY.format(most)))
            rest = rest[:most]
        if rest:
            found |= self._filed_headers(rest, trace)
        return found

    def pages(self, wanted: Iterable[tuple[ObjectId, Header, int]], trace: Trace) -> Pages:
        """Return the pages; a header that is no longer true is dropped from process and store.

        Raises TooMuch when those from the store, or from page files, are more than one request may hold.
        """
        found: dict[tuple[str, int], Page] = {}
        rest: Wanted = {}
        for module, header, number in wanted:
            page = self._pages.get((header.generation, number))
            if page is None:
                rest[PageKey(module, header.generation, number)] = header
            else:
                found[header.generation, number] = page
        trace.pages.process += len(found)
        answer = Pages(found, set(), {})
        if rest:
            self._stored_pages(rest, answer, trace)
        if rest:
            self._filed_pages(rest, answer, trace)
        return answer

    def drop(self, module: ObjectId) -> None:
        """This process asks for the header again: its module has other symbols now."""
        self._headers.drop(module)

    def doubt(self) -> None:
        """This process asks for every header again: some modules may have other symbols now."""
        self._headers.doubt()

    def _stored_headers(self, modules: Sequence[ObjectId], trace: Trace) -> Headers:
        start = time.perf_counter()
        stored: dict[ObjectId, bytes | Missing] = {}
        with suppress(StoreAway):
            stored = self._store.headers(modules)
        trace.store.add(len(modules), len(stored), time.perf_counter() - start)
        found: Headers = {}
        for module, known in stored.items():
            with suppress(MalformedPageFile):
                found[module] = known if isinstance(known, Missing) else self._parsed(module, known, trace)
        trace.headers.store += len(found)
        return found

    def _filed_headers(self, modules: Sequence[ObjectId], trace: Trace) -> Headers:
        found: Headers = {}
        for module, raw in zip(modules, self._reader.headers(modules, trace), strict=True):
            if isinstance(raw, CouldNotAsk):
                found[module] = Missing("unreachable", str(raw))
            elif raw is not None:
                with suppress(MalformedPageFile, StoreAway):
                    found[module] = self._parsed(module, raw, trace)
                    self._store.put_header(module, raw)
        trace.headers.page_file += len(found)
        return found

    def _parsed(self, module: ObjectId, raw: bytes, trace: Trace) -> Header:
        start = time.perf_counter()
        header = self._headers.put(module, raw)
        trace.parsed(module, time.perf_counter() - start)
        return header

    def _stored_pages(self, rest: Wanted, answer: Pages, trace: Trace) -> None:
        """Moves pages from `rest` to `answer`, as do the next ones."""
        start = time.perf_counter()
        stored: dict[PageKey, bytes] = {}
        with suppress(StoreAway):
            stored = self._store.pages(tuple(rest))
        trace.store.add(len(rest), len(stored), time.perf_counter() - start)
        self._asked(rest, stored)
        _check_size(stored.values())
        for key, raw in stored.items():
            with suppress(MalformedPageFile):
                self._open(key, rest[key], raw, answer, trace)
                del rest[key]
                trace.pages.store += 1

    def _filed_pages(self, rest: Wanted, answer: Pages, trace: Trace) -> None:
        shelves = _shelves(rest)
        fresh: dict[PageKey, bytes] = {}
        read = self._reader.pages(shelves, trace)
        _check_size(page for pages in read if isinstance(pages, list) for page in pages)
        for shelf, pages in zip(shelves, read, strict=True):
            if isinstance(pages, CouldNotAsk):
                answer.unreachable[shelf.module] = Missing("unreachable", str(pages))
            elif pages is None or not self._open_all(shelf, pages, answer, trace):
                self._forget(shelf.module)
                answer.replaced.add(shelf.module)
            else:
                fresh |= zip(shelf.keys(), pages, strict=True)
        trace.pages.page_file += len(fresh)
        with suppress(StoreAway):
            if fresh:
                self._store.put_pages(fresh)

    def _open_all(self, shelf: Shelf, pages: Sequence[bytes], answer: Pages, trace: Trace) -> bool:
        try:
            for key, raw in zip(shelf.keys(), pages, strict=True):
                self._open(key, shelf.header, raw, answer, trace)
        except MalformedPageFile:
            return False
        return True

    def _open(self, key: PageKey, header: Header, raw: bytes, answer: Pages, trace: Trace) -> None:
        start = time.perf_counter()
        page = header.open(raw)
        trace.parsed(key.module, time.perf_counter() - start)
        self._pages.put((key.generation, key.page), page)
        answer.found[key.generation, key.page] = page

    def _forget(self, module: ObjectId) -> None:
        """The store too: else the next process would be told of the page file that is no more."""
        self._headers.drop(module)
        with suppress(StoreAway):
            self._store.forget(module)


def _check_size(pages: Iterable[bytes]) -> None:
    if sum(map(decoded_bytes, pages)) > MAX_OPEN_BYTES:
        raise TooMuch(
            f"The symbols of these frames take more than {MAX_OPEN_BYTES} bytes; ask for fewer frames at once"
        )


def _shelves(wanted: Wanted) -> list[Shelf]:
    shelves: dict[tuple[ObjectId, str], Shelf] = {}
    for key, header in wanted.items():
        shelf = shelves.setdefault(key[:2], Shelf(key.module, header, []))
        shelf.pages.append(key.page)
    return list(shelves.values())

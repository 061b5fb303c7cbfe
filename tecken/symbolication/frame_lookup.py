"""Frames that are not in the process yet: read their pages, look the offsets up, read the names they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import cache, partial
from typing import Generic, NamedTuple, TypeVar

from tecken.errors import MalformedPageFile
from tecken.store.port import Missing
from tecken.symbolication.loader import Modules
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Finder, Frame, Hit, frame, name
from tecken.symbols.pagefile.file import Header, Section
from tecken.symbols.pagefile.page import Page

Wanted = Mapping[ObjectId, tuple[Header, Set[int]]]
Hits = Mapping[int, Hit | None]
PageOf = tuple[ObjectId, Header, int]
T = TypeVar("T")

OFFSET_END = 2**32
"""Module offsets are 32 bits wide in every symbol file we keep."""


class Looked(NamedTuple, Generic[T]):
    """Each module is in one of the first three. Those that are `late` have some of their frames."""

    frames: dict[ObjectId, dict[int, T]]
    failed: dict[ObjectId, Missing]
    replaced: set[ObjectId]
    late: set[ObjectId]


class Terms(NamedTuple, Generic[T]):
    """What is made of each frame at once, so that frames need no memory together, and when to stop.

    `render` gets None for an offset without a symbol. What it raises ends the look-up. Without `has_places`,
    frames have no files, lines and inlined calls.
    """

    render: Callable[[int, Frame | None], T]
    is_late: Callable[[], bool]
    has_places: bool = True


def look_up(modules: Modules, wanted: Wanted, trace: Trace, terms: Terms[T]) -> Looked[T]:
    """Two rounds of pages, each for all modules together."""
    reading = _Reading(modules, trace, terms)
    reading.fetch(_symbol_pages(wanted))
    hits: dict[ObjectId, Hits] = {}
    for module, (header, offsets) in wanted.items():
        if reading.came(module):
            with reading.alone(module):
                hits[module] = reading.hits(module, header, offsets)
    reading.fetch(_name_pages(wanted, hits))
    frames = {
        module: reading.frames(module, wanted[module][0], found)
        for module, found in hits.items()
        if reading.came(module)
    }
    return Looked(frames, reading.failed, reading.replaced, reading.late)


class _Reading(Generic[T]):
    """The pages of one look-up, and the modules that dropped out on the way."""

    def __init__(self, modules: Modules, trace: Trace, terms: Terms[T]) -> None:
        self._modules = modules
        self._trace = trace
        self._terms = terms
        self._pages: dict[tuple[str, int], Page] = {}
        self.failed: dict[ObjectId, Missing] = {}
        self.replaced: set[ObjectId] = set()
        self.late: set[ObjectId] = set()

    def fetch(self, wanted: Iterable[PageOf]) -> None:
        pages = self._modules.pages(set(wanted), self._trace)
        self._pages |= pages.found
        self.replaced |= pages.replaced
        self.failed |= pages.unreachable

    def came(self, module: ObjectId) -> bool:
        return module not in self.failed and module not in self.replaced

    @contextmanager
    def alone(self, module: ObjectId) -> Iterator[None]:
        """A module whose pages do not make sense drops out, and no other does."""
        try:
            yield
        except MalformedPageFile as error:
            self.failed[module] = Missing("malformed", str(error))

    def hits(self, module: ObjectId, header: Header, offsets: Set[int]) -> Hits:
        """In the order of the offsets: one page, and one block of it, is kept parsed at a time."""
        found: dict[int, Hit | None] = {}
        current, finder = -1, None
        for offset in self._in_time(module, sorted(offsets)):
            page = _symbol_page(header, offset)
            if page is None:
                found[offset] = None
                continue
            if finder is None or page != current:
                current, finder = page, Finder(self._pages[header.generation, page])
            hit = finder.find(offset)
            found[offset] = hit if self._terms.has_places else hit and hit.without_places()
        return found

    def frames(self, module: ObjectId, header: Header, hits: Hits) -> dict[int, T]:
        files = cache(partial(self._name, header, Section.FILES))
        origins = cache(partial(self._name, header, Section.ORIGINS))
        render = self._terms.render
        rendered = {}
        for offset in self._in_time(module, hits):
            hit = hits[offset]
            rendered[offset] = render(offset, hit and frame(hit, files, origins))
        return rendered

    def _in_time(self, module: ObjectId, offsets: Iterable[int]) -> Iterator[int]:
        """Yield the offsets until it is late."""
        for offset in offsets:
            if self._terms.is_late():
                self.late.add(module)
                return
            yield offset

    def _name(self, header: Header, section: Section, number: int) -> str:
        page = header.page_for(section, number)
        return "" if page is None else name(self._pages[header.generation, page], number)


def _symbol_page(header: Header, offset: int) -> int | None:
    return header.page_for(Section.SYMBOLS, offset) if 0 <= offset < OFFSET_END else None


def _symbol_pages(wanted: Wanted) -> Iterator[PageOf]:
    for module, (header, offsets) in wanted.items():
        for offset in offsets:
            page = _symbol_page(header, offset)
            if page is not None:
                yield module, header, page


def _name_pages(wanted: Wanted, hits: Mapping[ObjectId, Hits]) -> Iterator[PageOf]:
    for module, found in hits.items():
        header = wanted[module][0]
        for section, number in _names(found):
            page = header.page_for(section, number)
            if page is not None:
                yield module, header, page


def _names(hits: Hits) -> Set[tuple[Section, int]]:
    mentioned = [hit for hit in hits.values() if hit]
    files = {(Section.FILES, site.file) for hit in mentioned for site in hit.sites if site.file >= 0}
    return files | {(Section.ORIGINS, number) for hit in mentioned for number in hit.origins}

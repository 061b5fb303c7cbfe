"""Frames nobody rendered before: read their pages, look the offsets up, read the names they mention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from tecken.errors import MalformedPageFile
from tecken.modules.port import Modules
from tecken.modules.trace import Trace
from tecken.store.port import Missing
from tecken.symbols.frame import Frame
from tecken.symbols.ids import ModuleKey
from tecken.symbols.lookup import Hit, find, frame, name
from tecken.symbols.page import Page
from tecken.symbols.pagefile import Header, Section

Wanted = Mapping[ModuleKey, tuple[Header, Set[int]]]
Hits = Mapping[int, Hit | None]
PageOf = tuple[ModuleKey, Header, int]

OFFSET_END = 2**32
"""Module offsets are 32 bits wide in every symbol file we keep."""


class Looked(NamedTuple):
    """Each wanted module is in one of these. A frame is None where the module has no symbol."""

    frames: dict[ModuleKey, dict[int, Frame | None]]
    failed: dict[ModuleKey, Missing]
    replaced: set[ModuleKey]


def look_up(modules: Modules, wanted: Wanted, trace: Trace) -> Looked:
    """Two rounds of pages, each for all modules together."""
    reading = _Reading(modules, trace)
    reading.fetch(_symbol_pages(wanted))
    hits: dict[ModuleKey, Hits] = {}
    for module, (header, offsets) in wanted.items():
        if reading.came(module):
            with reading.alone(module):
                hits[module] = {offset: reading.hit(header, offset) for offset in offsets}
    reading.fetch(_name_pages(wanted, hits))
    frames: dict[ModuleKey, dict[int, Frame | None]] = {}
    for module, found in hits.items():
        if reading.came(module):
            with reading.alone(module):
                frames[module] = reading.frames(wanted[module][0], found)
    return Looked(frames, reading.failed, reading.replaced)


class _Reading:
    """The pages of one look-up, and the modules that dropped out on the way."""

    def __init__(self, modules: Modules, trace: Trace) -> None:
        self._modules = modules
        self._trace = trace
        self._pages: dict[tuple[str, int], Page] = {}
        self.failed: dict[ModuleKey, Missing] = {}
        self.replaced: set[ModuleKey] = set()

    def fetch(self, wanted: Iterable[PageOf]) -> None:
        pages = self._modules.pages(set(wanted), self._trace)
        self._pages |= pages.found
        self.replaced |= pages.replaced
        self.failed |= pages.unreachable

    def came(self, module: ModuleKey) -> bool:
        return module not in self.failed and module not in self.replaced

    @contextmanager
    def alone(self, module: ModuleKey) -> Iterator[None]:
        """A module whose pages do not make sense drops out, and no other does."""
        try:
            yield
        except MalformedPageFile as error:
            self.failed[module] = Missing("malformed", str(error))

    def hit(self, header: Header, offset: int) -> Hit | None:
        page = _symbol_page(header, offset)
        return None if page is None else find(self._pages[header.generation, page], offset)

    def frames(self, header: Header, hits: Hits) -> dict[int, Frame | None]:
        files = partial(self._name, header, Section.FILES)
        origins = partial(self._name, header, Section.ORIGINS)
        return {offset: hit and frame(hit, files, origins) for offset, hit in hits.items()}

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


def _name_pages(wanted: Wanted, hits: Mapping[ModuleKey, Hits]) -> Iterator[PageOf]:
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

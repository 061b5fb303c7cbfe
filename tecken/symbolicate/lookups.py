"""Frames nobody rendered before: read their pages, look the offsets up, read the names they mention."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import NamedTuple

from tecken.errors import CouldNotAsk
from tecken.modules.port import Modules
from tecken.modules.trace import Trace
from tecken.symbols.frame import Frame
from tecken.symbols.ids import ModuleKey
from tecken.symbols.lookup import Hit, find, frame
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
    failed: dict[ModuleKey, CouldNotAsk]
    replaced: set[ModuleKey]


def look_up(modules: Modules, wanted: Wanted, trace: Trace) -> Looked:
    """Two rounds of pages for all modules together."""
    reading = _Reading(modules, trace)
    reading.fetch(_symbol_pages(wanted))
    hits = {
        module: {offset: reading.hit(header, offset) for offset in offsets}
        for module, (header, offsets) in wanted.items()
        if module not in reading.lost
    }
    reading.fetch(_name_pages(wanted, hits))
    frames = {
        module: reading.frames(wanted[module][0], found)
        for module, found in hits.items()
        if module not in reading.lost
    }
    return Looked(frames, reading.failed, reading.replaced)


class _Reading:
    """The pages of one look-up, and the modules that dropped out on the way."""

    def __init__(self, modules: Modules, trace: Trace) -> None:
        self._modules = modules
        self._trace = trace
        self._pages: dict[tuple[str, int], Page] = {}
        self.failed: dict[ModuleKey, CouldNotAsk] = {}
        self.replaced: set[ModuleKey] = set()

    @property
    def lost(self) -> Set[ModuleKey]:
        return self.replaced | self.failed.keys()

    def fetch(self, wanted: Iterable[PageOf]) -> None:
        pages = self._modules.pages(set(wanted), self._trace)
        self._pages |= pages.found
        self.replaced |= pages.replaced
        self.failed |= {module: CouldNotAsk(why.reason) for module, why in pages.unreachable.items()}

    def hit(self, header: Header, offset: int) -> Hit | None:
        page = _symbol_page(header, offset)
        return None if page is None else find(self._pages[header.generation, page], offset)

    def frames(self, header: Header, hits: Hits) -> dict[int, Frame | None]:
        def file_name(number: int) -> str:
            return self._name(header, Section.FILES, number)

        def origin_name(number: int) -> str:
            return self._name(header, Section.ORIGINS, number)

        return {
            offset: None if hit is None else frame(hit, file_name, origin_name)
            for offset, hit in hits.items()
        }

    def _name(self, header: Header, section: Section, number: int) -> str:
        """Empty where the symbol file mentions a number that it never names."""
        number_of_page = header.page_for(section, number)
        if number_of_page is None:
            return ""
        page = self._pages[header.generation, number_of_page]
        at = bisect_left(page.keys, number)
        known = at < len(page.keys) and page.keys[at] == number
        return page.text(at).decode("utf-8", "replace") if known else ""


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

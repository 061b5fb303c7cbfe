"""Lookup of frames that are not in the frame cache.

Symbol pages are read and offsets are looked up in them; then the pages with the names of files and of inlined
functions are read. Each of the two rounds reads the pages of all modules together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import cache, partial
from typing import Generic, NamedTuple, TypeVar

from tecken.errors import MalformedPageFile
from tecken.store.port import Missing
from tecken.symbolication.loader import ModuleSource
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Hit, PageLookup, frame, name
from tecken.symbols.pagefile.file import Header, Section
from tecken.symbols.pagefile.page import Page

Wanted = Mapping[ObjectId, tuple[Header, Set[int]]]
Hits = Mapping[int, Hit | None]
PageOf = tuple[ObjectId, Header, int]
T = TypeVar("T")

OFFSET_END = 2**32
"""First offset that no symbol file can have: page files have keys of 32 bits."""


class LookupResult(NamedTuple, Generic[T]):
    """Frames by module and offset, and the modules without frames.

    Each module is in exactly one of `frames`, `failed` and `replaced`. The modules in `late` have only the
    frames that were looked up in time.
    """

    frames: dict[ObjectId, dict[int, T]]
    failed: dict[ObjectId, Missing]
    replaced: set[ObjectId]
    late: set[ObjectId]


class Terms(NamedTuple, Generic[T]):
    """Rendering of frames, and the deadline of a lookup.

    `render` is called with None for an offset without a symbol, and what it raises ends the lookup. It is
    called for each frame as soon as the frame is found, because all parsed frames of a large request would
    take much more memory than their rendered form. Without `has_places`, frames have no files, lines and
    inlined calls.
    """

    render: Callable[[int, Frame | None], T]
    is_late: Callable[[], bool]
    has_places: bool = True


def look_up(modules: ModuleSource, wanted: Wanted, trace: Trace, terms: Terms[T]) -> LookupResult[T]:
    """Return the rendered frames of the wanted offsets. Raises TooLarge, as `terms.render` may."""
    lookup = _Lookup(modules, trace, terms)
    lookup.load(_symbol_pages(wanted))
    hits: dict[ObjectId, Hits] = {}
    for module, (header, offsets) in wanted.items():
        if lookup.has_pages(module):
            with lookup.isolate(module):
                hits[module] = lookup.find_hits(module, header, offsets)
    lookup.load(_name_pages(wanted, hits))
    frames = {
        module: lookup.render_frames(module, wanted[module][0], module_hits)
        for module, module_hits in hits.items()
        if lookup.has_pages(module)
    }
    return LookupResult(frames, lookup.failed, lookup.replaced, lookup.late)


class _Lookup(Generic[T]):
    """Pages of one lookup, and the modules that failed on the way."""

    def __init__(self, modules: ModuleSource, trace: Trace, terms: Terms[T]) -> None:
        self._modules = modules
        self._trace = trace
        self._terms = terms
        self._pages: dict[tuple[str, int], Page] = {}
        self.failed: dict[ObjectId, Missing] = {}
        self.replaced: set[ObjectId] = set()
        self.late: set[ObjectId] = set()

    def load(self, wanted: Iterable[PageOf]) -> None:
        """Load pages of all modules at once."""
        pages = self._modules.pages(set(wanted), self._trace)
        self._pages |= pages.found
        self.replaced |= pages.replaced
        self.failed |= pages.unreachable

    def has_pages(self, module: ObjectId) -> bool:
        """Return whether the module's pages were loaded and are valid."""
        return module not in self.failed and module not in self.replaced

    @contextmanager
    def isolate(self, module: ObjectId) -> Iterator[None]:
        """Turn a malformed page into a failure of its module alone."""
        try:
            yield
        except MalformedPageFile as error:
            self.failed[module] = Missing("malformed", str(error))

    def find_hits(self, module: ObjectId, header: Header, offsets: Set[int]) -> Hits:
        """Return the hit of each offset, None where no symbol covers it. Raises MalformedPageFile."""
        found: dict[int, Hit | None] = {}
        current, finder = -1, None
        # In ascending order, so that each page is searched once and one FUNC block is parsed at a time:
        # random order would parse a large block again for every offset in it.
        for offset in self._until_late(module, sorted(offsets)):
            page = _symbol_page(header, offset)
            if page is None:
                found[offset] = None
                continue
            if finder is None or page != current:
                current, finder = page, PageLookup(self._pages[header.generation, page])
            hit = finder.find(offset)
            found[offset] = hit if self._terms.has_places else hit and hit.without_places()
        return found

    def render_frames(self, module: ObjectId, header: Header, hits: Hits) -> dict[int, T]:
        """Return the rendered frame of each hit."""
        # Many frames of a module name the same few files, so each name is decoded once.
        files = cache(partial(self._name, header, Section.FILES))
        origins = cache(partial(self._name, header, Section.ORIGINS))
        render = self._terms.render
        rendered = {}
        for offset in self._until_late(module, hits):
            hit = hits[offset]
            rendered[offset] = render(offset, hit and frame(hit, files, origins))
        self._trace.rendered += len(rendered)
        return rendered

    def _until_late(self, module: ObjectId, offsets: Iterable[int]) -> Iterator[int]:
        """Yield the offsets until the deadline; at the deadline, add the module to the late ones."""
        # The clock is read for each offset: a single offset in the largest block allowed takes half a second.
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
    for module, module_hits in hits.items():
        header = wanted[module][0]
        for section, number in _name_numbers(module_hits):
            page = header.page_for(section, number)
            if page is not None:
                yield module, header, page


def _name_numbers(hits: Hits) -> Set[tuple[Section, int]]:
    """Return the numbers of all files and inlined functions in the hits."""
    symbols = [hit for hit in hits.values() if hit]
    files = {(Section.FILES, site.file) for hit in symbols for site in hit.sites if site.file >= 0}
    return files | {(Section.ORIGINS, number) for hit in symbols for number in hit.origins}

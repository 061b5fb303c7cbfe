"""Lookup of frames that are not in the frame cache.

Symbol pages are read and offsets are looked up in them; then the pages with the names of files and of inlined
functions are read. Each of the two rounds reads the pages of all modules together.

One module's part of a lookup is a `ModuleSearch`. There are two of them: `TextSearch` in Python, and
`EngineSearch`, which renders the same bytes with the engine (`tecken.symbols.engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import cache, cached_property, partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from tecken.errors import MalformedPageFile
from tecken.store.port import Missing
from tecken.symbolication.loader import ModuleSource
from tecken.symbolication.trace import Trace
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Hit, PageLookup, frame, name
from tecken.symbols.pagefile.file import OFFSET_END, Header, Section
from tecken.symbols.pagefile.page import KeptPage, Page

Wanted = Mapping[ObjectId, tuple[Header, Set[int]]]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class LookupResult(NamedTuple, Generic[T]):
    """Frames by module and offset, and the modules without frames.

    Each module is in exactly one of `frames`, `failed` and `replaced`. The modules in `late` have only the
    frames that were looked up in time.
    """

    frames: dict[ObjectId, Mapping[int, T]]
    failed: dict[ObjectId, Missing]
    replaced: set[ObjectId]
    late: set[ObjectId]


class ModuleSearch(Protocol[T_co]):
    """Search for the offsets of one module, in two steps that each need pages."""

    @property
    def pages(self) -> Sequence[int]:
        """Numbers of the pages that `find` needs."""
        ...

    @property
    def name_pages(self) -> Sequence[int]:
        """Numbers of the pages that `render` needs."""
        ...

    @property
    def cached_pages(self) -> int:
        """Number of pages that the search has found by itself."""
        ...

    def find(self, pages: Sequence[KeptPage]) -> bool:
        """Look the offsets up, and return whether the deadline has ended that. Raises MalformedPageFile.

        `pages` are in the order of the property, as are those of `render`.
        """
        ...

    def render(self, pages: Sequence[KeptPage]) -> tuple[Mapping[int, T_co], bool]:
        """Return the rendered frames by offset, and whether the deadline has ended that."""
        ...


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

    def search(self, header: Header, offsets: Set[int]) -> TextSearch[T]:
        """Return a search for the offsets of one module."""
        return TextSearch(header, offsets, self)


class EngineTerms(NamedTuple):
    """Rendering of frames by the engine, and the deadline: the moment when `clock()` passes `end`.

    `max_bytes` returns how many bytes of frames may be rendered at most. `add_bytes` is called with the size
    of each module's frames, and what it raises ends the lookup. `render_plain` renders a frame without a
    symbol.
    """

    version: str
    has_places: bool
    clock: Callable[[], float]
    end: float
    render_plain: Callable[[int], bytes]
    max_bytes: Callable[[], float]
    add_bytes: Callable[[int], None]
    cache: engine.EngineCache | None = None

    def search(self, header: Header, offsets: Set[int]) -> EngineSearch:
        """Return a search for the offsets of one module."""
        return EngineSearch(header, offsets, self)


def look_up(
    modules: ModuleSource, wanted: Wanted, trace: Trace, search: Callable[[Header, Set[int]], ModuleSearch[T]]
) -> LookupResult[T]:
    """Return the rendered frames of the wanted offsets. Raises TooLarge, as rendering may."""
    lookup = _Lookup(modules, trace)
    searches = {module: search(header, offsets) for module, (header, offsets) in wanted.items()}
    headers = {module: header for module, (header, _) in wanted.items()}
    lookup.load((module, headers[module], page) for module, it in searches.items() for page in it.pages)
    for module, it in list(searches.items()):
        if lookup.has_pages(module):
            with lookup.isolate(module):
                lookup.note_late(module, it.find(lookup.pages(headers[module], it.pages)))
        if not lookup.has_pages(module):
            del searches[module]
    lookup.load((module, headers[module], page) for module, it in searches.items() for page in it.name_pages)
    frames: dict[ObjectId, Mapping[int, T]] = {}
    for module, it in searches.items():
        if lookup.has_pages(module):
            rendered, is_late = it.render(lookup.pages(headers[module], it.name_pages))
            frames[module] = rendered
            lookup.note_late(module, is_late)
            trace.pages.process += it.cached_pages
    trace.rendered += sum(map(len, frames.values()))
    return LookupResult(frames, lookup.failed, lookup.replaced, lookup.late)


class _Lookup:
    """Pages of one lookup, and the modules that failed on the way."""

    def __init__(self, modules: ModuleSource, trace: Trace) -> None:
        self._modules = modules
        self._trace = trace
        self._pages: dict[tuple[str, int], KeptPage] = {}
        self.failed: dict[ObjectId, Missing] = {}
        self.replaced: set[ObjectId] = set()
        self.late: set[ObjectId] = set()

    def load(self, wanted: Iterable[tuple[ObjectId, Header, int]]) -> None:
        """Load pages of all modules at once."""
        pages = self._modules.pages(wanted, self._trace)
        self._pages |= pages.found
        self.replaced |= pages.replaced
        self.failed |= pages.unreachable

    def pages(self, header: Header, numbers: Iterable[int]) -> list[KeptPage]:
        """Return pages that were loaded."""
        pages, generation = self._pages, header.generation
        return [pages[generation, number] for number in numbers]

    def has_pages(self, module: ObjectId) -> bool:
        """Return whether the module's pages were loaded and are valid."""
        return module not in self.failed and module not in self.replaced

    def note_late(self, module: ObjectId, is_late: bool) -> None:
        """Add a module to the late ones, if the deadline has ended its search."""
        if is_late:
            self.late.add(module)

    @contextmanager
    def isolate(self, module: ObjectId) -> Iterator[None]:
        """Turn a malformed page into a failure of its module alone."""
        try:
            yield
        except MalformedPageFile as error:
            self.failed[module] = Missing("malformed", str(error))


class TextSearch(Generic[T]):
    """Search in Python."""

    cached_pages = 0

    def __init__(self, header: Header, offsets: Set[int], terms: Terms[T]) -> None:
        self._header = header
        self._terms = terms
        # In ascending order, so that each page is searched once and one FUNC block is parsed at a time:
        # random order would parse a large block again for every offset in it.
        self._places = [(offset, _symbol_page(header, offset)) for offset in sorted(offsets)]
        self._hits: dict[int, Hit | None] = {}

    @cached_property
    def pages(self) -> list[int]:
        """Numbers of the pages with the offsets."""
        return list(dict.fromkeys(page for _, page in self._places if page is not None))

    @cached_property
    def name_pages(self) -> list[int]:
        """Numbers of the pages with the names in the hits; `find` comes before."""
        hits = [hit for hit in self._hits.values() if hit]
        numbers = {(Section.FILES, site.file) for hit in hits for site in hit.sites if site.file >= 0}
        numbers |= {(Section.ORIGINS, number) for hit in hits for number in hit.origins}
        pages = {self._header.page_for(section, number) for section, number in numbers}
        return [page for page in pages if page is not None]

    def find(self, pages: Sequence[KeptPage]) -> bool:
        """Look the offsets up, and return whether the deadline has ended that."""
        kept = dict(zip(self.pages, pages, strict=True))
        current, finder = -1, None
        # The clock is read for each offset: a single offset in the largest block allowed takes half a second.
        for offset, page in self._places:
            if self._terms.is_late():
                return True
            if page is None:
                self._hits[offset] = None
                continue
            if finder is None or page != current:
                current, finder = page, PageLookup(self._header.unpack(kept[page]))
            hit = finder.find(offset)
            self._hits[offset] = hit if self._terms.has_places else hit and hit.without_places()
        return False

    def render(self, pages: Sequence[KeptPage]) -> tuple[dict[int, T], bool]:
        """Return the rendered frames by offset, and whether the deadline has ended that."""
        names = dict(zip(self.name_pages, map(self._header.unpack, pages), strict=True))
        # Many frames of a module name the same few files, so each name is decoded once.
        files = cache(partial(self._name, names, Section.FILES))
        origins = cache(partial(self._name, names, Section.ORIGINS))
        frames: dict[int, T] = {}
        for offset, hit in self._hits.items():
            if self._terms.is_late():
                return frames, True
            frames[offset] = self._terms.render(offset, hit and frame(hit, files, origins))
        return frames, False

    def _name(self, names: Mapping[int, Page], section: Section, number: int) -> str:
        page = self._header.page_for(section, number)
        return "" if page is None else name(names[page], number)


class EngineSearch:
    """Search with the engine, which keeps the hits between the steps."""

    def __init__(self, header: Header, offsets: Set[int], terms: EngineTerms) -> None:
        assert header.reader
        self._terms = terms
        self._outside = [offset for offset in offsets if not 0 <= offset < OFFSET_END]
        inside = offsets - set(self._outside) if self._outside else offsets
        self._search = header.reader.search(list(inside), terms.cache)

    @property
    def pages(self) -> Sequence[int]:
        """Numbers of the pages with the offsets that are not in the engine's cache."""
        return self._search.pages

    @property
    def name_pages(self) -> Sequence[int]:
        """Numbers of the pages with names in the hits that are not in the engine's cache."""
        return self._search.name_pages

    @property
    def cached_pages(self) -> int:
        """Number of pages that the engine's cache had."""
        return self._search.cached_pages

    def find(self, pages: Sequence[KeptPage]) -> bool:
        """Look the offsets up, and return whether the deadline has ended that."""
        terms = self._terms
        try:
            return self._search.find(_loaded(pages), terms.has_places, terms.clock, terms.end)
        except engine.MALFORMED as error:
            raise engine.malformed_page(error) from error

    def render(self, pages: Sequence[KeptPage]) -> tuple[Mapping[int, bytes], bool]:
        """Return the rendered frames by offset, and whether the deadline has ended that."""
        terms = self._terms
        frames, is_late = self._search.render(
            terms.version, _loaded(pages), terms.max_bytes(), terms.clock, terms.end
        )
        terms.add_bytes(self._search.rendered_bytes)
        if not self._outside:
            return frames, is_late
        return {**frames, **{offset: terms.render_plain(offset) for offset in self._outside}}, is_late


def _loaded(pages: Iterable[KeptPage]) -> list[engine.LoadedPage]:
    return [page for page in pages if not isinstance(page, Page)]


def _symbol_page(header: Header, offset: int) -> int | None:
    return header.page_for(Section.SYMBOLS, offset) if 0 <= offset < OFFSET_END else None

"""A whole module of ours in memory: a symbol file converted, each answer looked up in its pages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO

import orjson

from tecken.symbols import engine
from tecken.symbols.lookup import Frame, Inline, find, frame, name
from tecken.symbols.pagefile.convert import PageFileWriter
from tecken.symbols.pagefile.file import Section
from tecken.symbols.pagefile.page import Page


class PagedModule:
    def __init__(self, sym: bytes) -> None:
        pages = BytesIO()
        converter = PageFileWriter(BytesIO(), pages)
        converter.feed(sym)
        self.header = converter.finish()
        self._file = self.header.raw + pages.getvalue()
        self._page = lru_cache(64)(self._read)

    def frame(self, offset: int) -> Frame | None:
        page = self._page_of(Section.SYMBOLS, offset)
        hit = find(page, offset) if page else None
        return frame(hit, self._file_name, self._origin_name) if hit else None

    def visible(self, frame: Frame | None) -> Frame | None:
        """Return the part of a frame that `frame` can return."""
        return frame

    def _file_name(self, number: int) -> str:
        page = self._page_of(Section.FILES, number)
        return name(page, number) if page else ""

    def _origin_name(self, number: int) -> str:
        page = self._page_of(Section.ORIGINS, number)
        return name(page, number) if page else ""

    def _page_of(self, section: Section, key: int) -> Page | None:
        number = self.header.page_for(section, key)
        return None if number is None else self._page(number)

    def _read(self, number: int) -> Page:
        return self.header.open(self._packed(number))

    def _packed(self, number: int) -> bytes:
        return self._file[slice(*self.header.span(number))]


class EngineModule(PagedModule):
    """The same with the engine, whose rendered frames are parsed."""

    def frame(self, offset: int) -> Frame | None:
        assert self.header.reader
        search = self.header.reader.search([offset], None)
        now = (lambda: 0.0), 0.0
        search.find(self._kept(search.pages), True, *now)
        frames, _ = search.render("v5", self._kept(search.name_pages), float("inf"), *now)
        found = orjson.loads(b"{" + frames[offset])
        if "function" not in found:
            return None
        inlines = [
            Inline(call["function"], call.get("file", ""), call.get("line", 0))
            for call in found.get("inlines", [])
        ]
        entry = offset - int(found["function_offset"], 16)
        place = found.get("file", ""), found.get("line", 0)
        return Frame(
            found["function"], entry, *place, tuple(inlines), int(found.get("function_size", "0"), 16)
        )

    def visible(self, frame: Frame | None) -> Frame | None:
        """Return a frame without lines of unknown files, which responses do not have."""
        if frame is None:
            return None
        inlines = tuple(call if call.file else call._replace(line=0) for call in frame.inlines)
        return frame._replace(line=frame.line if frame.file else 0, inlines=inlines)

    def _kept(self, pages: Iterable[int]) -> list[engine.LoadedPage]:
        assert self.header.reader
        return self.header.reader.load([self._packed(number) for number in pages])

"""A whole module of ours in memory: a symbol file converted, each answer looked up in its pages."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from tecken.symbols.lookup import Frame, find, frame, name
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
        begin, end = self.header.span(number)
        return self.header.open(self._file[begin:end])

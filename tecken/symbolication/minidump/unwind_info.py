"""Unwind information of a place, from pages of its module.

It is for the process that has the pages; the walk of a dump takes it through `port.SymbolAccess`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from tecken.symbolication.minidump.port import UnwindInfo
from tecken.symbols.lookup import find
from tecken.symbols.pagefile.cfi import find as find_records
from tecken.symbols.pagefile.file import OFFSET_END, Header, Section
from tecken.symbols.pagefile.func_record import head
from tecken.symbols.pagefile.page import KeptPage, Page


def unwind_pages(header: Header, offset: int) -> list[int]:
    """Return the numbers of the pages that `read_unwind_info` needs for a module offset.

    These are a page of call frame information and, for x86, the page with the function.
    """
    if not 0 <= offset < OFFSET_END:
        return []
    sections = (Section.CFI, Section.SYMBOLS) if _has_win(header) else (Section.CFI,)
    pages = (header.page_for(section, offset) for section in sections)
    return [page for page in pages if page is not None]


def read_unwind_info(header: Header, pages: Mapping[int, KeptPage], offset: int) -> UnwindInfo:
    """Return the unwind information at a module offset from the pages of `unwind_pages`, by number.

    Raises MalformedPageFile.
    """
    page, has_win = _page(header, Section.CFI, pages, offset), _has_win(header)
    win, cfi = find_records(page, offset, has_win=has_win) if page else (None, ())
    symbols = _page(header, Section.SYMBOLS, pages, offset) if has_win else None
    size = _parameter_bytes(symbols, offset, win and win.parameter_bytes) if symbols else 0
    return UnwindInfo(win.line.decode(errors="replace") if win else "", _texts(cfi), size)


def _has_win(header: Header) -> bool:
    # STACK WIN records are rules for the registers of x86.
    return header.metadata.arch == "x86"


def _page(header: Header, section: Section, pages: Mapping[int, KeptPage], offset: int) -> Page | None:
    number = header.page_for(section, offset) if 0 <= offset < OFFSET_END else None
    return None if number is None else header.unpack(pages[number])


def _texts(lines: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple([line.decode(errors="replace") for line in lines])


def _parameter_bytes(page: Page, offset: int, of_win: int | None) -> int:
    """Return the size of a function's parameters: that of its STACK WIN record, or else its own.

    The sizes of FUNC records are often wrong. Without a function the size is 0.
    """
    hit = find(page, offset)
    if not hit:
        return 0
    same = range(bisect_left(page.keys, hit.entry), bisect_right(page.keys, hit.entry))
    function = next((i for i in same if not page.is_public(i)), None)
    if function is None:
        return head(page.text(same[0]), numbers=2)[0][1]
    return head(page.text(function).partition(b"\n")[0], numbers=3)[0][2] if of_win is None else of_win

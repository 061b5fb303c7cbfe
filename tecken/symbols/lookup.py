"""Lookup of module offsets in pages: from an offset to a function, a place and inlined calls.

Well-formed files give the same frames as the `symbolic` library (tests/symbols/test_oracle.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from tecken.symbols.frame import Frame, Inline
from tecken.symbols.pagefile.func_record import ADDRESS_SPACE, NOWHERE, UNKNOWN, Block, Hit, SourcePlace, head
from tecken.symbols.pagefile.page import Page

__all__ = ["Frame", "Hit", "Inline", "PageLookup", "SourcePlace", "find", "frame", "name"]


class PageLookup:
    """Search in one page.

    The page must contain every record between the FUNC record that may cover an offset and the offset.
    Ascending offsets are fastest: each record is then visited once, and each block is parsed once, for all
    of them.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        # Last symbol that was visited, and the last FUNC record up to it.
        self._symbol = self._function = -1
        # Blocks of the FUNC records at one address, the last one first, and the number of the last one.
        self._blocks: list[Block] = []
        self._blocks_at = -1

    def find(self, offset: int) -> Hit | None:
        """Return the hit at a module offset of this page; None where no symbol covers it.

        Raises MalformedPageFile for a record that is neither FUNC nor PUBLIC.
        """
        if offset >= ADDRESS_SPACE:
            return None
        symbol = bisect_right(self._page.keys, offset) - 1
        function = self._function_before(symbol)
        public = self._public(function, symbol) if function < symbol else None
        if function < 0:
            return public
        blocks = self._blocks_of(function)
        block = _chosen(blocks, offset)
        if block is None:
            return public if public and public.entry >= max(block.end for block in blocks) else None
        hit = block.locate(offset)
        # A PUBLIC record inside a FUNC covers the offsets up to the next line or inlined call, as in
        # `symbolic`.
        if public and public.entry > block.start:
            boundary = block.boundary(offset)
            if public.entry > boundary or (public.entry == boundary and hit is None):
                return public
        return hit

    def _function_before(self, symbol: int) -> int:
        """Return the last FUNC record up to `symbol`, -1 when there is none."""
        # Searches back only to the symbol of the lookup before. A page may have thousands of PUBLIC records
        # after one FUNC, and each lookup among them would otherwise visit all of them.
        visited = self._symbol if self._symbol <= symbol else -1
        function = self._function if visited >= 0 else -1
        for i in range(symbol, visited, -1):
            if not self._page.is_public(i):
                function = i
                break
        # The next lookup starts here, as offsets usually ascend.
        self._symbol, self._function = symbol, function
        return function

    def _public(self, function: int, symbol: int) -> Hit:
        """Return the PUBLIC record at the address of `symbol`: of several, the first after `function`."""
        keys = self._page.keys
        return _public(self._page.text(bisect_left(keys, keys[symbol], function + 1, symbol)))

    def _blocks_of(self, function: int) -> list[Block]:
        if function != self._blocks_at:
            page, address = self._page, self._page.keys[function]
            self._blocks = [Block(page.text(function))]
            self._blocks_at = function
            while function and page.keys[function - 1] == address:
                function -= 1
                if not page.is_public(function):
                    self._blocks.append(Block(page.text(function)))
        return self._blocks


def find(page: Page, offset: int) -> Hit | None:
    """Return the hit at a single offset; see `PageLookup.find`."""
    return PageLookup(page).find(offset)


def _chosen(blocks: Sequence[Block], offset: int) -> Block | None:
    """Return the last block with lines that covers `offset`, or else the first that covers it.

    All blocks are at one address, in reverse order.
    """
    covering = [block for block in blocks if offset < block.end]
    if len(covering) > 1:
        return next((block for block in covering if block.has_lines), covering[-1])
    return covering[0] if covering else None


def frame(hit: Hit, file_name: Callable[[int], str], origin_name: Callable[[int], str]) -> Frame:
    """Return the frame of a hit. The callables return the name of a number, "" for an unknown one."""
    places = [("" if site.file < 0 else file_name(site.file), site.line) for site in hit.sites]
    inlines = (
        Inline(origin_name(origin) or UNKNOWN, *place)
        for origin, place in zip(hit.origins, places, strict=False)
    )
    return Frame(hit.function, hit.entry, *places[-1], tuple(inlines), hit.size)


def name(page: Page, number: int) -> str:
    """Return the name of a number in a page of FILE or INLINE_ORIGIN records, "" for an unknown number.

    Of several records with the same number, the last one counts.
    """
    at = bisect_right(page.keys, number) - 1
    if at < 0 or page.keys[at] != number:
        return ""
    return page.record(at).decode(errors="replace").strip()


def _public(text: bytes) -> Hit:
    (address,), symbol = head(text, numbers=1)
    return Hit(symbol, address, (NOWHERE,))

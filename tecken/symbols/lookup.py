"""What a lookup answers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tecken.symbols.pagefile.func_record import ADDRESS_SPACE, NOWHERE, UNKNOWN, Block, Hit, Site, head
from tecken.symbols.pagefile.page import Page


class Inline(NamedTuple):
    """One inlined call: the function that was inlined, and where execution stands inside it."""

    function: str
    file: str
    line: int


class Frame(NamedTuple):
    """The function at an offset and where execution, or the call of the last of `inlines`, stands in it.

    `entry` is the module offset of the function's first instruction and `size` its length; `file` "",
    `line` 0 and `size` 0 are unknown; `inlines` is deepest call first.
    """

    function: str
    entry: int
    file: str
    line: int
    inlines: tuple[Inline, ...] = ()
    size: int = 0


__all__ = ["Finder", "Hit", "Site", "find", "frame", "name"]


class Finder:
    """Lookups in one page.

    The page must hold every record between the FUNC that may contain an offset and the offset. Offsets are
    best given in order: then each record is looked at once, and each block parsed once, for all of them.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        # The last symbol looked at, and the last FUNC up to it.
        self._symbol = self._function = -1
        # The blocks of the FUNC records at one address, the last one first, and where the last one is.
        self._blocks: list[Block] = []
        self._blocks_at = -1

    def find(self, offset: int) -> Hit | None:
        """Return what stands at a module offset of this page; None where no symbol reaches.

        Raises MalformedPageFile when a record is none.
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
        if public and public.entry > block.start:
            boundary = block.boundary(offset)
            if public.entry > boundary or (public.entry == boundary and hit is None):
                return public
        return hit

    def _function_before(self, symbol: int) -> int:
        """Return the last FUNC record up to `symbol`, -1 when there is none."""
        known = self._symbol if self._symbol <= symbol else -1
        function = self._function if known >= 0 else -1
        for i in range(symbol, known, -1):
            if not self._page.is_public(i):
                function = i
                break
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
    """Look one offset up; see `Finder`."""
    return Finder(page).find(offset)


def _chosen(blocks: Sequence[Block], offset: int) -> Block | None:
    """Return, of the blocks that reach past `offset`, the last that has lines, else the first.

    All are at one address, given last first.
    """
    covering = [block for block in blocks if offset < block.end]
    if len(covering) > 1:
        return next((block for block in covering if block.has_lines), covering[-1])
    return covering[0] if covering else None


def frame(hit: Hit, file_name: Callable[[int], str], origin_name: Callable[[int], str]) -> Frame:
    """Give names to the numbers of a hit; the callables answer "" for a number they do not know."""
    places = [("" if site.file < 0 else file_name(site.file), site.line) for site in hit.sites]
    inlines = (
        Inline(origin_name(origin) or UNKNOWN, *place)
        for origin, place in zip(hit.origins, places, strict=False)
    )
    return Frame(hit.function, hit.entry, *places[-1], tuple(inlines), hit.size)


def name(page: Page, number: int) -> str:
    """The name of a number in a FILE or INLINE_ORIGIN page, "" when it has none; the last one counts."""
    at = bisect_right(page.keys, number) - 1
    if at < 0 or page.keys[at] != number:
        return ""
    return page.text(at).decode(errors="replace").strip()


def _public(text: bytes) -> Hit:
    (address,), symbol = head(text, numbers=1)
    return Hit(symbol, address, (NOWHERE,))

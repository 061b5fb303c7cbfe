"""What a page says about an offset, and the names behind the numbers.

The answers are those of the `symbolic` library's SymCache; docs/architecture.md has the rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from tecken.symbols.block import NOWHERE, Block, Hit, Site, head
from tecken.symbols.frame import Frame, Inline
from tecken.symbols.page import Page
from tecken.symbols.paths import clean

__all__ = ["Hit", "Site", "find", "frame", "name"]

ADDRESS_SPACE = 1 << 32


def find(page: Page, offset: int) -> Hit | None:
    """What stands at a module offset, of which `page` is the page; None where no symbol reaches.

    The page must hold every record between the FUNC that may contain the offset and the offset. Raises
    MalformedPageFile when a record is none.
    """
    if offset >= ADDRESS_SPACE:
        return None
    at = bisect_right(page.keys, offset) - 1
    public = None
    while at >= 0 and (text := page.text(at)).startswith(b"PUBLIC"):
        if public is None or page.keys[at] == public.entry:
            public = _public(text)
        at -= 1
    if at < 0:
        return public
    block = _block(page, at)
    if offset >= block.end:
        return public if public and public.entry >= block.end else None
    hit = block.locate(offset)
    if public and public.entry > block.start:
        boundary = block.boundary(offset)
        if public.entry > boundary or (public.entry == boundary and hit is None):
            return public
    return hit


def frame(hit: Hit, file_name: Callable[[int], str], origin_name: Callable[[int], str]) -> Frame:
    """`file_name` and `origin_name` answer "" for a number they do not know."""
    places = [("" if site.file < 0 else clean(file_name(site.file)), site.line) for site in hit.sites]
    inlines = (
        Inline(origin_name(origin), *place) for origin, place in zip(hit.origins, places, strict=False)
    )
    return Frame(hit.function, hit.entry, *places[-1], tuple(inlines))


def name(page: Page, number: int) -> str:
    """The name of a number in a FILE or INLINE_ORIGIN page, "" when it has none; the last one counts."""
    at = bisect_right(page.keys, number) - 1
    if at < 0 or page.keys[at] != number:
        return ""
    return page.text(at).decode(errors="replace").strip()


def _public(text: bytes) -> Hit:
    (address,), symbol = head(text, numbers=1)
    return Hit(symbol, address, (NOWHERE,))


def _block(page: Page, at: int) -> Block:
    """Of FUNC records at one address, the last that has lines, else the first. `at` is the last."""
    block = Block(page.text(at))
    start = page.keys[at]
    same = [at]
    while at and page.keys[at - 1] == start:
        at -= 1
        same.append(at)
    if len(same) == 1:
        return block
    blocks = [Block(text) for text in map(page.text, same) if text.startswith(b"FUNC")]
    return next((block for block in blocks if block.has_lines), blocks[-1])

"""What a lookup answers."""

from __future__ import annotations

from typing import NamedTuple


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

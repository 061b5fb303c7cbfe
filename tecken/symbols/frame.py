"""What a lookup answers."""

from __future__ import annotations

from typing import NamedTuple


class Inline(NamedTuple):
    """One inlined call: the function that was inlined, and where execution stands inside it."""

    function: str
    file: str
    line: int


class Frame(NamedTuple):
    """The outer function at an offset; `inlines` is deepest call first. `file` may be empty, `line` 0 is unknown.

    `entry` is the module offset of the function's first instruction.
    """

    function: str
    entry: int
    file: str
    line: int
    inlines: tuple[Inline, ...] = ()

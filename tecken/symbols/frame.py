"""Frame that a lookup gives: a function at an offset, its place, and inlined calls.

It has a module of its own because processes that must start fast import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Inline(NamedTuple):
    """Inlined call: the function that was inlined, and the place in it."""

    function: str
    file: str
    line: int


class Frame(NamedTuple):
    """Function at an offset, and the place in it.

    The place is that of the offset or, with inlined calls, that of the outermost call. `entry` is the module
    offset of the function's first instruction and `size` its length in bytes. `file` "", `line` 0 and `size`
    0 mean unknown. `inlines` has the deepest call first.
    """

    function: str
    entry: int
    file: str
    line: int
    inlines: tuple[Inline, ...] = ()
    size: int = 0


def frame_to_json(frame: Frame | None) -> list[Any] | None:
    """Return a frame as values of JSON; orjson refuses named tuples."""
    return None if frame is None else [*frame[:4], [list(call) for call in frame.inlines], frame.size]


def frame_from_json(fields: Sequence[Any] | None) -> Frame | None:
    """Return the frame that `frame_to_json` has written."""
    if fields is None:
        return None
    function, entry, file, line, inlines, size = fields
    return Frame(function, entry, file, line, tuple(Inline(*call) for call in inlines), size)

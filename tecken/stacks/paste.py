"""What a pasted text says, whatever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PER_CALLER = 1
"""A caller's frame has the address to return to, which may be in the next line: look before it."""


class Module(NamedTuple):
    """Either may be empty: nobody can look such a module up."""

    debug_file: str
    debug_id: str


class Frame(NamedTuple):
    module: int | None
    """Of `Paste.modules`. None: not in any, or the text does not say where in it."""
    offset: int
    """To look up in the module; an address without one."""
    given: str = ""
    """What the text says of this frame already: a function, perhaps with its file."""


class Thread(NamedTuple):
    name: str
    frames: tuple[Frame, ...]
    crashed: bool = False


class Paste(NamedTuple):
    kind: str
    """What it was taken for."""
    modules: tuple[Module, ...]
    threads: tuple[Thread, ...]
    reason: str = ""
    """Why the program ended."""
    remarks: tuple[str, ...] = ()
    """What is missing in it, and how one gets it."""


class Span(NamedTuple):
    """Where a module lies in memory; `end` is the first address after it, 0 when nobody said."""

    start: int
    end: int
    module: Module


class Modules:
    """Numbers modules as they turn up, and knows which lies where."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans = sorted(spans)
        self._numbers: dict[Module, int] = {}

    def __call__(self) -> tuple[Module, ...]:
        return tuple(self._numbers)

    def number(self, module: Module) -> int:
        return self._numbers.setdefault(module, len(self._numbers))

    def frame(self, address: int, given: str = "", before: int = 0) -> Frame:
        """Of an absolute address; `before` is looked before it."""
        span = next((span for span in reversed(self.spans) if span.start <= address), None)
        if span is None or (span.end and address >= span.end):
            return Frame(None, address, given)
        return Frame(self.number(span.module), max(0, address - span.start - before), given)


def before(number: int) -> int:
    """How far before its address a frame is looked up; the innermost is number 0."""
    return PER_CALLER if number else 0


def whole(text: object) -> int:
    """Of `0x1f`, `1f`, or a number. Raises ValueError."""
    found = int(text, 16) if isinstance(text, str) else text
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise ValueError(f"not a number: {text!r}")
    return found

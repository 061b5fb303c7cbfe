"""What a pasted text says, whatever wrote it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

# Larger numbers are no addresses, and each further use of them would cost what their digits cost.
ADDRESSES = 1 << 64
ADDRESS_CHARACTERS = len("0x") + 16
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
        """Return the frame of an absolute address, looked up `before` bytes earlier in its module."""
        found = bisect_right(self.spans, address, key=attrgetter("start"))
        span = self.spans[found - 1] if found else None
        if span is None or (span.end and address >= span.end):
            return Frame(None, address, given)
        return Frame(self.number(span.module), max(0, address - span.start - before), given)


class Threads:
    """Threads in the order of the text, each with the frames that follow its title."""

    def __init__(self) -> None:
        self._titles: list[tuple[str, bool]] = []
        self._frames: list[list[Frame]] = []

    def __bool__(self) -> bool:
        return bool(self._titles)

    def start(self, name: str, crashed: bool = False) -> None:
        self._titles.append((name, crashed))
        self._frames.append([])

    def add(self, frame: Frame) -> None:
        """Append a frame to the thread that was started last."""
        self._frames[-1].append(frame)

    def with_frames(self) -> tuple[Thread, ...]:
        """Return the threads that have at least one frame."""
        pairs = zip(self._titles, self._frames, strict=True)
        return tuple(Thread(name, tuple(frames), crashed) for (name, crashed), frames in pairs if frames)


def before(number: int) -> int:
    """How far before its address a frame is looked up; the innermost is number 0."""
    return PER_CALLER if number else 0


def whole(text: object) -> int:
    """Return the address in `0x1f`, `1f` or 31. Raises ValueError for anything else."""
    if isinstance(text, str) and len(text) > ADDRESS_CHARACTERS:
        raise ValueError("not an address: too many digits")
    found = int(text, 16) if isinstance(text, str) else text
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < ADDRESSES:
        raise ValueError("not an address")
    return found

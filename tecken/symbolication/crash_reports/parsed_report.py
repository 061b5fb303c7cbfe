"""Parsed crash reports: modules, threads and frames, whatever program has written the text."""

from __future__ import annotations

from typing import NamedTuple

from tecken.errors import InvalidInput

# Addresses have at most 64 bits. Larger numbers are refused, because Python's integers have no limit and each
# use of a number costs time in proportion to its digits.
ADDRESSES = 1 << 64
ADDRESS_CHARACTERS = len("0x") + 16
PER_CALLER = 1
"""Bytes before a return address. The address itself may belong to the next line, or to the next function."""


class NotSymbolicatable(InvalidInput):
    """Error for a text of a known kind with nothing to look up. The text names the kind and the next step."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"Recognized as {kind}. {problem}")
        self.kind = kind


class ReportModule(NamedTuple):
    """Module of a report. Either part may be empty; such a module cannot be looked up."""

    debug_file: str
    debug_id: str


class ReportFrame(NamedTuple):
    """Frame of a thread."""

    module: int | None
    """Index in `ParsedReport.modules`. None: in no module, or the text does not give the place in it."""
    offset: int
    """Offset to look up in the module; the address where there is no module."""
    given: str = ""
    """Description in the text: a function, perhaps with its file."""


class Thread(NamedTuple):
    """Thread with its frames, the innermost first."""

    name: str
    frames: tuple[ReportFrame, ...]
    crashed: bool = False


class ParsedReport(NamedTuple):
    """Parsed report."""

    kind: str
    """Recognized kind of text."""
    modules: tuple[ReportModule, ...]
    threads: tuple[Thread, ...]
    reason: str = ""
    """Reason why the program ended."""
    remarks: tuple[str, ...] = ()
    """Missing information, and the way to get it."""
    build_ids: tuple[str, ...] = ()
    """Whole build ids in hex, where the text has some. A debug id has only the first 16 bytes of one."""
    remedy: str = ""
    """Next step of the user, if the text does not have all that is needed to look up its frames."""

    def has_lookups(self) -> bool:
        """Return whether a frame is in a module that can be looked up."""
        used = (frame.module for thread in self.threads for frame in thread.frames)
        return any(number is not None and all(self.modules[number]) for number in used)

    def count_frames(self) -> int:
        """Return the number of frames of all threads."""
        return sum(len(thread.frames) for thread in self.threads)


class Threads:
    """Builder of threads, in the order of the text; frames belong to the title before them."""

    def __init__(self) -> None:
        self._titles: list[tuple[str, bool]] = []
        self._frames: list[list[ReportFrame]] = []

    def __len__(self) -> int:
        """Return the number of threads that were started."""
        return len(self._titles)

    def has_frames(self) -> bool:
        """Return whether a thread has a frame."""
        return any(self._frames)

    def start(self, name: str, crashed: bool = False) -> None:
        """Start the next thread."""
        self._titles.append((name, crashed))
        self._frames.append([])

    def add(self, frame: ReportFrame) -> None:
        """Append a frame to the thread that was started last."""
        self._frames[-1].append(frame)

    def with_frames(self) -> tuple[Thread, ...]:
        """Return the threads that have at least one frame."""
        pairs = zip(self._titles, self._frames, strict=True)
        return tuple(Thread(name, tuple(frames), crashed) for (name, crashed), frames in pairs if frames)


def bytes_before(number: int) -> int:
    """Return how many bytes before its address a frame is looked up; the innermost frame is number 0."""
    return PER_CALLER if number else 0


def parse_address(value: object) -> int:
    """Return the address in `0x1f`, `1f` or 31. Raises ValueError for anything else."""
    if isinstance(value, str) and len(value) > ADDRESS_CHARACTERS:
        raise ValueError("not an address: too many digits")
    address = int(value, 16) if isinstance(value, str) else value
    if isinstance(address, bool) or not isinstance(address, int) or not 0 <= address < ADDRESSES:
        raise ValueError("not an address")
    return address

"""Early frames: the answer for requests that wait, before the page file of their module is complete.

A conversion has two phases. When the text is scanned, the worker looks up the offsets that requests wait for
in its own tables and publishes the frames; then it makes the page file. Early frames exist on redis-cache
only, for some seconds, so a worker that is killed between the phases leaves nothing that looks like a page
file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import orjson

from tecken.errors import MalformedPageFile, Unavailable
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Inline
from tecken.symbols.pagefile.convert import PageFileWriter

logger = logging.getLogger(__name__)

# Bounds of one module's early frames. Offsets beyond them wait for the page file. A single offset in the
# largest block that is allowed takes half a second.
MAX_OFFSETS: Final = 1024
MAX_BYTES: Final = 1 << 20
MAX_SECONDS: Final = 1.0


class EarlyFrames(NamedTuple):
    """Frames by offset, None where no symbol is, and the code file of their module."""

    code_file: str
    frames: Mapping[int, Frame | None]


class EarlyTracker(Protocol):
    """The part of the shared state that early frames need. Every method may raise Unavailable."""

    def wanted(self, module: ObjectId) -> set[int]:
        """Return the offsets that requests wait for."""
        ...

    def revision(self, module: ObjectId) -> str:
        """Return a text that differs after each change of the module's symbols."""
        ...

    def publish_frames(self, module: ObjectId, revision: str, early: EarlyFrames) -> bool:
        """Publish frames and return True, unless the symbols have changed since `revision`."""
        ...

    def withdraw_frames(self, module: ObjectId) -> None:
        """Remove the frames."""
        ...


class EarlyPublisher:
    """Publisher of early frames. Its methods raise nothing: without early frames, requests wait longer."""

    def __init__(self, tracker: EarlyTracker, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracker = tracker
        self._clock = clock

    def revision(self, module: ObjectId) -> str | None:
        """Return the revision of the module's symbols, or None. Call it before their text is opened."""
        try:
            return self._tracker.revision(module)
        except Unavailable:
            return None

    def publish(self, module: ObjectId, revision: str | None, writer: PageFileWriter, code_file: str) -> bool:
        """Publish the frames that requests wait for, from a scanned text. Return whether there are any."""
        try:
            offsets = self._tracker.wanted(module) if revision is not None else None
            if not offsets or revision is None:
                return False
            early = EarlyFrames(code_file, self._look_up(writer, offsets))
            return self._tracker.publish_frames(module, revision, early)
        except (Unavailable, MalformedPageFile) as error:
            logger.info("%s: cannot publish early frames: %s; requests wait for the page file", module, error)
            return False

    def withdraw(self, module: ObjectId) -> None:
        """Remove the frames of symbols that were replaced."""
        try:
            self._tracker.withdraw_frames(module)
        except Unavailable as error:
            logger.warning("%s: cannot remove early frames: %s; they will expire", module, error)

    def _look_up(self, writer: PageFileWriter, offsets: set[int]) -> dict[int, Frame | None]:
        end = self._clock() + MAX_SECONDS
        found: dict[int, Frame | None] = {}
        size = 0
        for offset, frame in writer.frames_at(offsets):
            size += len(dump(frame))
            if size > MAX_BYTES:
                break
            found[offset] = frame
            if self._clock() > end:
                break
        return found


def dump(frame: Frame | None) -> bytes:
    """Return the JSON of a frame."""
    if frame is None:
        return b"null"
    # orjson refuses named tuples.
    return orjson.dumps((*frame[:4], [tuple(call) for call in frame.inlines], frame.size))


def load(raw: bytes) -> Frame | None:
    """Return the frame in its JSON."""
    fields = orjson.loads(raw)
    if fields is None:
        return None
    function, entry, file, line, inlines, size = fields
    return Frame(function, entry, file, line, tuple(Inline(*call) for call in inlines), size)

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from tecken.errors import MalformedPageFile, Unavailable
from tecken.symbolication.conversion import converter
from tecken.symbolication.conversion.converter import EarlyPublisher
from tecken.symbolication.conversion.status import EarlyFrames, dump_frame, load_frame
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Inline
from tecken.symbols.pagefile.convert import PageFileWriter
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import MemoryConversionTracker
from tests.symbolication.samples import sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
FIRST = Frame("work0", 0x1000, "src/work.c", 1, size=16)


def scanned(text: bytes) -> PageFileWriter:
    writer = PageFileWriter(io.BytesIO(), io.BytesIO())
    writer.feed(text)
    writer.finish_scan()
    return writer


@pytest.fixture
def tracker() -> MemoryConversionTracker:
    tracker = MemoryConversionTracker()
    tracker.states[XUL] = "started"
    tracker.want({XUL: [0x1000, 0x1010, 0x1020, 1]})
    return tracker


def published(tracker: MemoryConversionTracker, clock: Clock | None = None) -> EarlyFrames | None:
    publisher = EarlyPublisher(tracker, clock or Clock())
    publisher.publish(XUL, publisher.revision(XUL), scanned(sym(XUL)), "xul.dll")
    return tracker.early.get(XUL)


@pytest.mark.parametrize(
    "frame", [None, FIRST, Frame("é", 0, "", 0, (Inline("a", "b", 1), Inline("c", "", 0)), 2**32 - 1)]
)
def test_dump_frame_is_loaded_unchanged(frame: Frame | None) -> None:
    assert load_frame(dump_frame(frame)) == frame


def test_publish_wanted_offsets_has_their_frames(tracker: MemoryConversionTracker) -> None:
    frames = published(tracker)
    assert frames
    assert frames.code_file == "xul.dll"
    assert frames.frames.keys() == {1, 0x1000, 0x1010, 0x1020}
    assert (frames.frames[1], frames.frames[0x1000]) == (None, FIRST)


def test_publish_without_wanted_offsets_publishes_nothing(tracker: MemoryConversionTracker) -> None:
    tracker.offsets.clear()
    assert published(tracker) is None


def test_publish_frames_are_bounded_in_bytes(
    tracker: MemoryConversionTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "MAX_BYTES", 70)
    frames = published(tracker)
    assert frames
    assert list(frames.frames) == [1, 0x1000]


def test_publish_frames_are_bounded_in_time(tracker: MemoryConversionTracker) -> None:
    class Ticking(Clock):
        def __call__(self) -> float:
            self.sleep(0.4)
            return super().__call__()

    frames = published(tracker, Ticking())
    assert frames
    assert list(frames.frames) == [1, 0x1000, 0x1010]


def test_publish_replaced_symbols_publishes_nothing(tracker: MemoryConversionTracker) -> None:
    publisher = EarlyPublisher(tracker)
    revision = publisher.revision(XUL)
    tracker.forget(XUL)
    assert not publisher.publish(XUL, revision, scanned(sym(XUL)), "")
    assert tracker.early == {}


def test_publish_unavailable_tracker_raises_nothing(tracker: MemoryConversionTracker) -> None:
    publisher = EarlyPublisher(tracker)
    revision = publisher.revision(XUL)
    tracker.away = Unavailable("redis-cache does not answer")
    assert publisher.revision(XUL) is None
    assert not publisher.publish(XUL, revision, scanned(sym(XUL)), "")
    assert not publisher.publish(XUL, None, scanned(sym(XUL)), "")
    publisher.withdraw(XUL)


def test_publish_unreadable_record_raises_nothing(tracker: MemoryConversionTracker) -> None:
    class Unreadable(PageFileWriter):
        def frames_at(self, offsets: object) -> Iterator[tuple[int, Frame | None]]:
            raise MalformedPageFile("not a FUNC or PUBLIC record")

    publisher = EarlyPublisher(tracker)
    writer = Unreadable(io.BytesIO(), io.BytesIO())
    assert not publisher.publish(XUL, publisher.revision(XUL), writer, "")

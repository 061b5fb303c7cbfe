"""Waits that free the handler's place.

A web process runs a limited number of handlers at a time. A handler that waits for a worker uses no CPU, so
the front admits another request meanwhile. Without this, a few requests for cold modules would occupy every
place of a process and delay the warm ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _ThisThread(threading.local):
    """Hook of the calling thread: `park(1)` before a wait, `park(-1)` after it. None outside handlers."""

    park: Callable[[int], object] | None = None


_this_thread = _ThisThread()


def set_parking(park: Callable[[int], object]) -> None:
    """Have `park` called around each wait of the calling thread."""
    _this_thread.park = park


@contextmanager
def _parked() -> Iterator[None]:
    """Do not count the calling thread as a running handler."""
    park = _this_thread.park
    if park is None:
        yield
        return
    park(1)
    try:
        yield
    finally:
        park(-1)


def sleep(seconds: float) -> None:
    """Sleep as `time.sleep` does, without counting as a running handler."""
    with _parked():
        time.sleep(seconds)


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for an event as `Event.wait` does, without counting as a running handler."""
    with _parked():
        return event.wait(seconds)

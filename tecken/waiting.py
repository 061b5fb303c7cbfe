"""A handler that waits for a worker lets its web process run other requests meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class _ThisThread(threading.local):
    """`park(1)` before a wait and `park(-1)` after it; None in a thread that runs no handler."""

    park: Callable[[int], object] | None = None


_this_thread = _ThisThread()


def set_parking(park: Callable[[int], object]) -> None:
    """Have `park` called around each wait of the calling thread."""
    _this_thread.park = park


def sleep(seconds: float) -> None:
    """Sleep as `time.sleep` does, without counting as a running handler."""
    park = _this_thread.park
    if park is None:
        time.sleep(seconds)
        return
    park(1)
    try:
        time.sleep(seconds)
    finally:
        park(-1)

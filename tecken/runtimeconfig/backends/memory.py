"""Backend within one process, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Lock

from tecken.errors import Conflict
from tecken.runtimeconfig.backend import (
    LEVEL_KEYS,
    REPORT_SECONDS,
    Change,
    ConfigHead,
    Hint,
    Level,
    Report,
    Values,
)


class MemoryBackend:
    """Backend that calls `on_write` after each change, in the thread of the writer."""

    def __init__(self, on_write: Callable[[], None] = lambda: None) -> None:
        self._on_write = on_write
        self._lock = Lock()
        self._values = Values(0, "", {})
        self._levels: dict[Level, tuple[str, datetime | None]] = {}
        self._reports: dict[str, tuple[Report, float]] = {}
        self._subscriptions: list[MemorySubscription] = []

    def head(self) -> ConfigHead:
        version, stamp, _texts = self._values
        return ConfigHead(version, stamp, self._level("full"), self._level("uploads"))

    def read(self) -> Values:
        return self._values

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        with self._lock:
            if self._values.version != expected:
                raise Conflict(f"the configuration has version {self._values.version}, not {expected}")
            self._values = Values(change.version, change.stamp, dict(texts))
            self._publish(self._values)
        self._on_write()

    def report(self, report: Report) -> None:
        self._reports[report.process] = report, time.monotonic() + REPORT_SECONDS

    def reports(self) -> list[Report]:
        return [report for report, until in [*self._reports.values()] if time.monotonic() < until]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        with self._lock:
            self._levels.pop(level, None)
            if text is not None:
                self._levels[level] = text, until
            self._publish(Hint(LEVEL_KEYS[level]))
        self._on_write()

    @contextmanager
    def subscribe(self) -> Iterator[MemorySubscription]:
        subscription = MemorySubscription()
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def _level(self, level: Level) -> str | None:
        text, until = self._levels.get(level, (None, None))
        return None if until is not None and until <= datetime.now(UTC) else text

    def _publish(self, message: Values | Hint) -> None:
        for subscription in self._subscriptions:
            subscription.messages.put(message)


class MemorySubscription:
    """Queue of messages."""

    def __init__(self) -> None:
        self.messages: SimpleQueue[Values | Hint] = SimpleQueue()

    def next(self, seconds: float) -> Values | Hint | None:
        try:
            return self.messages.get(timeout=max(seconds, 0))
        except Empty:
            return None

"""A backend of one process: for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Lock

from tecken.errors import Conflict
from tecken.runtimeconfig.backend import (
    REPORT_SECONDS,
    Change,
    ConfigHead,
    Hint,
    Level,
    Report,
    Values,
)
from tecken.runtimeconfig.keys import LEVELS


class MemoryBackend:
    """`told` is called after each change, by whoever made it."""

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self._told = told
        self._lock = Lock()
        self._values = Values(0, "", {})
        self._maintenance: dict[str, tuple[str, datetime | None]] = {}
        self._reports: dict[str, tuple[Report, float]] = {}
        self._ears: list[MemorySubscription] = []

    def head(self) -> ConfigHead:
        return ConfigHead(
            self._values.version,
            self._values.stamp,
            self._level(LEVELS["full"]),
            self._level(LEVELS["uploads"]),
        )

    def read(self) -> Values:
        return self._values

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        with self._lock:
            if self._values.version != expected:
                raise Conflict(f"the configuration has version {self._values.version}, not {expected}")
            self._values = Values(change.version, change.stamp, dict(texts))
            self._tell(self._values)
        self._told()

    def report(self, report: Report) -> None:
        self._reports[report.process] = report, time.monotonic() + REPORT_SECONDS

    def reports(self) -> list[Report]:
        return [report for report, until in [*self._reports.values()] if time.monotonic() < until]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        with self._lock:
            self._maintenance.pop(LEVELS[level], None)
            if text is not None:
                self._maintenance[LEVELS[level]] = text, until
            self._tell(Hint(LEVELS[level]))
        self._told()

    @contextmanager
    def subscribe(self) -> Iterator[MemorySubscription]:
        ear = MemorySubscription()
        self._ears.append(ear)
        try:
            yield ear
        finally:
            self._ears.remove(ear)

    def _level(self, key: str) -> str | None:
        text, until = self._maintenance.get(key, (None, None))
        return None if until is not None and until <= datetime.now(UTC) else text

    def _tell(self, heard: Values | Hint) -> None:
        for ear in self._ears:
            ear.heard.put(heard)


class MemorySubscription:
    def __init__(self) -> None:
        self.heard: SimpleQueue[Values | Hint] = SimpleQueue()

    def next(self, seconds: float) -> Values | Hint | None:
        try:
            return self.heard.get(timeout=max(seconds, 0))
        except Empty:
            return None

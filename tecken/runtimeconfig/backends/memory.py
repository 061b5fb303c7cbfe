"""Backend within one process, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock

from tecken.errors import Conflict
from tecken.runtimeconfig.backend import (
    REPORT_SECONDS,
    Change,
    ConfigHead,
    Level,
    PollingSubscription,
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

    def head(self) -> ConfigHead:
        """Return version, stamp and maintenance."""
        version, stamp, _texts = self._values
        return ConfigHead(version, stamp, self._level("full"), self._level("uploads"))

    def read(self) -> Values:
        """Return the texts of the current version."""
        return self._values

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        """Replace all texts. Raise Conflict unless the version is `expected`."""
        with self._lock:
            if self._values.version != expected:
                raise Conflict(f"the configuration has version {self._values.version}, not {expected}")
            self._values = Values(change.version, change.stamp, dict(texts))
        self._on_write()

    def report(self, report: Report) -> None:
        """Store the report of this process."""
        self._reports[report.process] = report, time.monotonic() + REPORT_SECONDS

    def reports(self) -> list[Report]:
        """Return the reports of the last REPORT_SECONDS."""
        # A copy, because other threads report meanwhile.
        return [report for report, until in [*self._reports.values()] if time.monotonic() < until]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        """Begin maintenance until `until`; end it when `text` is None."""
        with self._lock:
            self._levels.pop(level, None)
            if text is not None:
                self._levels[level] = text, until
        self._on_write()

    @contextmanager
    def subscribe(self) -> Iterator[PollingSubscription]:
        """Return a subscription without messages."""
        yield PollingSubscription()

    def _level(self, level: Level) -> str | None:
        text, until = self._levels.get(level, (None, None))
        return None if until is not None and until <= datetime.now(UTC) else text

"""Interface of the place that distributes the configuration to all processes, and the records it carries.

Any text of a maintenance key begins maintenance, so an operator needs only redis-cli. `MemoryBackend` is
within one process, for tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, StrictInt, StrictStr, TypeAdapter, ValidationError

from tecken.errors import Conflict

Level = Literal["full", "uploads"]
# Redis keys and file names; an operator may set them by hand.
LEVEL_KEYS: dict[Level, str] = {"full": "is-under-maintenance", "uploads": "uploads-closed"}
# A process without a report for longer is not listed.
REPORT_SECONDS = 15


class ConfigHead(NamedTuple):
    """Smallest part of the configuration that shows a change.

    Version 0 means that nothing was ever set. An empty stamp means that the version was changed by hand.
    """

    version: int
    stamp: str
    maintenance: str | None
    uploads_closed: str | None

    @property
    def levels(self) -> dict[Level, Maintenance | None]:
        """Return the maintenance of each level; None for a level that is open."""
        texts: dict[Level, str | None] = {"full": self.maintenance, "uploads": self.uploads_closed}
        return {level: None if text is None else parse_maintenance(text) for level, text in texts.items()}


class Values(NamedTuple):
    """Texts of one version."""

    version: int
    stamp: str
    texts: Mapping[str, str]


class Change(NamedTuple):
    """Origin of a version. `at` is ISO 8601 in UTC; `source` is that of the model, or "refill"."""

    version: int
    stamp: str
    by: str
    why: str
    at: str
    source: str


class Report(NamedTuple):
    """State of a process (host:pid); `age` is in seconds, `bad` the number of entries it could not use."""

    process: str
    kind: str
    version: int
    stamp: str
    age: float
    bad: int

    def has_applied(self, version: int, stamp: str) -> bool:
        """Return whether the process has this version or a newer one."""
        return (self.version, self.stamp) == (version, stamp) or self.version > version


class Hint(NamedTuple):
    """Message after which the backend must be polled."""

    text: str


class Subscription(Protocol):
    """Messages about changes."""

    def next(self, seconds: float) -> Values | Hint | None:
        """Wait for at most `seconds`. Raises Unavailable when the connection is lost."""
        ...


class PollingSubscription:
    """Subscription of a backend without messages: changes are found by polling."""

    def next(self, seconds: float) -> Values | Hint | None:
        """Wait for `seconds`."""
        time.sleep(max(seconds, 0.0))
        return None


class ConfigBackend(Protocol):
    """Shared store. Each method has one short deadline and raises Unavailable when it passes."""

    def head(self) -> ConfigHead:
        """Return version, stamp and maintenance, at little cost."""
        ...

    def read(self) -> Values:
        """Return the texts of the current version."""
        ...

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        """Replace all texts and notify subscribers. Raises Conflict unless the version is `expected`."""
        ...

    def report(self, report: Report) -> None:
        """Store the report of this process."""
        ...

    def reports(self) -> list[Report]:
        """Return the reports of the last REPORT_SECONDS."""
        ...

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        """Begin maintenance, which ends by itself at `until`; end it when `text` is None."""
        ...

    def subscribe(self) -> AbstractContextManager[Subscription]:
        """Subscribe to all later changes. The subscription raises Unavailable when its connection is lost."""
        ...


class Document(BaseModel):
    """The JSON of a version, in a file or a message."""

    version: StrictInt
    stamp: StrictStr = ""
    texts: dict[StrictStr, StrictStr]
    change: Any = None


class Origin(BaseModel):
    """The part of a Change that identifies it."""

    version: StrictInt
    stamp: StrictStr


REPORT = TypeAdapter(Report)


def find_stamp(version: int, change: str | bytes | None) -> str:
    """Return the stamp in the JSON of a Change; empty unless that Change made `version`."""
    try:
        origin = Origin.model_validate_json(change or b"")
    except ValidationError:
        return ""
    return origin.stamp if origin.version == version else ""


def parse_report(text: str | bytes) -> Report | None:
    """Return the report in JSON; None for any other text."""
    try:
        return REPORT.validate_json(text, strict=True)
    except ValidationError:
        return None


# Maintenance


class Maintenance(NamedTuple):
    """Details of maintenance; an empty message and None stand for the options. Instants are in UTC."""

    message: str = ""
    retry_after: float | None = None
    until: datetime | None = None
    by: str = ""
    since: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Return whether the end has passed, even if the backend was not reached since."""
        return self.until is not None and self.until <= datetime.now(UTC)


@lru_cache(maxsize=16)
def parse_maintenance(text: str) -> Maintenance:
    """Return the details that `format_maintenance` wrote; defaults for all that is unusable."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return Maintenance()
    if not isinstance(document, dict):
        return Maintenance()
    return Maintenance(
        message=_parse_text(document.get("message")),
        retry_after=_parse_seconds(document.get("retry_after")),
        until=_parse_instant(document.get("until")),
        by=_parse_text(document.get("by")),
        since=_parse_instant(document.get("since")),
    )


def format_maintenance(maintenance: Maintenance) -> str:
    """Return the text of a maintenance key."""
    return json.dumps(maintenance._asdict(), default=datetime.isoformat)


def _parse_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _parse_seconds(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 <= value < 1e9 else None


def _parse_instant(text: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


# Backend for tests


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

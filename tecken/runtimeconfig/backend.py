"""Records that backends carry.

Any text of a maintenance key begins maintenance, so an operator needs only redis-cli.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, StrictInt, StrictStr, TypeAdapter, ValidationError

Level = Literal["full", "uploads"]
# Redis keys and file names; an operator may set them by hand.
LEVEL_KEYS: dict[Level, str] = {"full": "is-under-maintenance", "uploads": "uploads-closed"}
# A process without a report for longer is not listed.
REPORT_SECONDS = 15


class Values(NamedTuple):
    """Texts of one version. An empty stamp means that the version was changed by hand."""

    version: int
    stamp: str
    texts: Mapping[str, str]


class ConfigHead(NamedTuple):
    """Smallest part of the configuration that shows a change. Version 0: nothing was ever set."""

    version: int
    stamp: str
    maintenance: str | None
    uploads_closed: str | None

    @property
    def levels(self) -> dict[Level, Maintenance | None]:
        """Return the maintenance of each level; None for a level that is open."""
        texts: dict[Level, str | None] = {"full": self.maintenance, "uploads": self.uploads_closed}
        return {level: None if text is None else parse_maintenance(text) for level, text in texts.items()}


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


class Document(BaseModel):
    """The JSON of a version, in a file or a message. `stamp` is that of a message, `change` of a file."""

    version: StrictInt
    stamp: StrictStr = ""
    texts: dict[StrictStr, StrictStr]
    change: Any = None


class Origin(BaseModel):
    """The part of a Change that identifies it."""

    version: StrictInt
    stamp: StrictStr


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
        return _REPORT.validate_json(text, strict=True)
    except ValidationError:
        return None


def to_utc(instant: datetime) -> datetime:
    """Return an instant in UTC, which is assumed of one without a time zone."""
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


Instant = Annotated[datetime, AfterValidator(to_utc)]


class Maintenance(NamedTuple):
    """Details of maintenance; an empty message and None stand for the options. Instants are in UTC."""

    message: str = ""
    retry_after: Annotated[float, Field(ge=0, lt=1e9)] | None = None
    until: Instant | None = None
    by: str = ""
    since: Instant | None = None

    @property
    def is_over(self) -> bool:
        """Return whether the end has passed, even if the backend was not reached since."""
        return self.until is not None and self.until <= datetime.now(UTC)


def parse_maintenance(text: str) -> Maintenance:
    """Return the details that `format_maintenance` wrote; defaults for any other text."""
    try:
        return _MAINTENANCE.validate_json(text, strict=True)
    except (ValidationError, OverflowError):
        return Maintenance()


def format_maintenance(maintenance: Maintenance) -> str:
    """Return the text of a maintenance key."""
    return json.dumps(maintenance._asdict(), default=datetime.isoformat)


_REPORT, _MAINTENANCE = TypeAdapter(Report), TypeAdapter(Maintenance)

"""Text of the maintenance keys. Any text begins maintenance, so an operator needs only redis-cli."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple


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

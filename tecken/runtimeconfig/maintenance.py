"""What the maintenance key says. Any text whatever means yes, so that redis-cli is enough to set it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Maintenance(NamedTuple):
    """An empty `message`, and None, stand for what the options say. `since` and `until` are in UTC."""

    message: str = ""
    retry_after: float | None = None
    until: datetime | None = None
    by: str = ""
    since: datetime | None = None


def parse(text: str) -> Maintenance:
    """What `show` made; of any other text nothing is known."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return Maintenance()
    if not isinstance(given, dict):
        return Maintenance()
    return Maintenance(
        message=_text(given.get("message")),
        retry_after=_seconds(given.get("retry_after")),
        until=_moment(given.get("until")),
        by=_text(given.get("by")),
        since=_moment(given.get("since")),
    )


def show(maintenance: Maintenance) -> str:
    return json.dumps(maintenance._asdict(), default=datetime.isoformat)


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _seconds(given: Any) -> float | None:
    usable = isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < 1e9
    return float(given) if usable else None


def _moment(given: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(given)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None

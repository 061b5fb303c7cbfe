"""When something begins or ends, as an operator writes it; all times are UTC."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime, time, timedelta

from tecken.runtimeconfig.option import parse_seconds

FORMS = "10m, 1h 30m, 23:00 or 2026-11-21T23:00:00Z"


def span(text: str) -> float:
    """`30`, `90s` or `10m` in seconds. Raises ArgumentTypeError."""
    given = parse_seconds(text.strip())
    try:
        return float(given if isinstance(given, float) else text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} should be a duration such as 30s or 10m") from None


def moment(text: str, after: datetime) -> datetime:
    """A time of day is the next one, a duration counts from `after`. Raises ArgumentTypeError."""
    text = text.strip()
    for read in (_duration, _time_of_day, _instant):
        try:
            return read(text, after).replace(microsecond=0)
        except (ValueError, OverflowError):
            continue
    raise ArgumentTypeError(f"{text!r} should be a time (UTC) such as {FORMS}")


def shown(when: datetime | None) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if when else "-"


def _duration(text: str, after: datetime) -> datetime:
    given = parse_seconds(text)
    if isinstance(given, float):
        return after + timedelta(seconds=given)
    raise ValueError(text)


def _time_of_day(text: str, after: datetime) -> datetime:
    given = time.fromisoformat(text)
    if ":" not in text:
        raise ValueError(text)
    today = datetime.combine(after.astimezone(UTC), given, given.tzinfo or UTC).astimezone(UTC)
    while today <= after:
        today += timedelta(days=1)
    return today


def _instant(text: str, _after: datetime) -> datetime:
    given = datetime.fromisoformat(text)
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)

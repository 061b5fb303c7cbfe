"""Times and durations as operators write them. All times are UTC."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime, time, timedelta

from tecken.runtimeconfig.option import parse_seconds

FORMS = "10m, 1h 30m, 23:00 or 2026-11-21T23:00:00Z"


def duration(text: str) -> float:
    """Return the seconds of a duration such as `30`, `90s` or `10m`.

    Raises:
        ArgumentTypeError: The text is no duration.
    """
    seconds = parse_seconds(text.strip())
    try:
        return float(seconds if isinstance(seconds, float) else text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} should be a duration such as 30s or 10m") from None


def moment(text: str, after: datetime) -> datetime:
    """Return a point in time: the next such time of day, a duration from `after`, or a date with a time.

    Raises:
        ArgumentTypeError: The text is none of these.
    """
    text = text.strip()
    for parse in (_parse_duration, _parse_time_of_day, _parse_instant):
        try:
            return parse(text, after).replace(microsecond=0)
        except (ValueError, OverflowError):
            continue
    raise ArgumentTypeError(f"{text!r} should be a time (UTC) such as {FORMS}")


def format_time(moment: datetime | None) -> str:
    """Return a time for people, or a dash."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else "-"


def _parse_duration(text: str, after: datetime) -> datetime:
    seconds = parse_seconds(text)
    if isinstance(seconds, float):
        return after + timedelta(seconds=seconds)
    raise ValueError(text)


def _parse_time_of_day(text: str, after: datetime) -> datetime:
    time_of_day = time.fromisoformat(text)
    if ":" not in text:
        raise ValueError(text)
    today = datetime.combine(after.astimezone(UTC), time_of_day, time_of_day.tzinfo or UTC).astimezone(UTC)
    while today <= after:
        today += timedelta(days=1)
    return today


def _parse_instant(text: str, _after: datetime) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)

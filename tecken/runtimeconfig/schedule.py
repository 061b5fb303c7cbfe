"""Entries: what a text is kept under, an option's name or the name with a window.

symbolicate_max_jobs                                                always
symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z      from the start on, before the end
symbolicate_max_jobs@2026-11-21T22:00:00Z/                          from then on
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.option import cut

DAWN = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
LONGEST_KEY = 200


class Entry(NamedTuple):
    """Without a start it always holds; an end alone there is not. Both are in UTC, in whole seconds."""

    option: str
    start: datetime | None = None
    end: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return (self.start is None or self.start <= now) and not self.over(now)

    def over(self, now: datetime) -> bool:
        """It will never hold again."""
        return self.end is not None and self.end <= now


def entry(key: str) -> Entry:
    """Raises BadOption. Whether there is such an option it does not ask."""
    option, at, window = key.partition("@")
    if not at:
        return Entry(option)
    if len(key) > LONGEST_KEY:
        raise BadOption(f"{cut(key)!r}: an entry should be at most {LONGEST_KEY} characters, not {len(key)}")
    start, slash, end = window.partition("/")
    if not slash:
        raise BadOption(f"{key!r}: a window should be START/END or START/, not {window!r}")
    return _ordered(key, Entry(option, _instant(key, start), _instant(key, end) if end else None))


def spelt(one: Entry) -> str:
    """The key of an entry: one spelling, so that two ways of writing an instant are one entry."""
    if one.start is None:
        return one.option
    return f"{one.option}@{_spelt(one.start)}/{_spelt(one.end) if one.end else ''}"


def precedence(one: Entry) -> tuple[datetime, timedelta]:
    """Of the entries of one option that hold, the greatest counts: the later start, then the earlier end."""
    return one.start or DAWN, NEVER - (one.end or NEVER)


def _ordered(key: str, one: Entry) -> Entry:
    if one.start and one.end and one.end <= one.start:
        start, end = _spelt(one.start), _spelt(one.end)
        raise BadOption(f"{key!r}: a window should end after its start {start}, not at {end}")
    return one


def _instant(key: str, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo and not (instant := given.astimezone(UTC)).microsecond:
            return instant
    except (ValueError, OverflowError):
        pass
    raise BadOption(f"{key!r}: a time should be such as 2026-11-21T22:00:00Z, not {text!r}")


def _spelt(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

"""Entries: the keys of texts, which are an option's name with or without a window of time.

symbolicate_max_jobs                                                always
symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z      from the start until before the end
symbolicate_max_jobs@2026-11-21T22:00:00Z/                          from the start on
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.option import shorten

MIN = datetime.min.replace(tzinfo=UTC)
MAX = datetime.max.replace(tzinfo=UTC)
LONGEST_KEY = 200


class Entry(NamedTuple):
    """Option and window, in UTC and whole seconds. Without a start it always holds."""

    option: str
    start: datetime | None = None
    end: datetime | None = None

    @property
    def key(self) -> str:
        """Return the normalized key: two ways to write the same time are one entry."""
        if self.start is None:
            return self.option
        return f"{self.option}@{_format(self.start)}/{_format(self.end) if self.end else ''}"

    @property
    def precedence(self) -> tuple[datetime, timedelta]:
        """Sort key among entries that hold: the later start wins, then the earlier end."""
        return self.start or MIN, MAX - (self.end or MAX)

    def holds(self, now: datetime) -> bool:
        """Return whether the entry is in force."""
        return (self.start or MIN) <= now and (self.end is None or now < self.end)


def parse_entry(key: str) -> Entry:
    """Return the entry of a key, whether its option exists or not. Raises BadOption."""
    option, at, window = key.partition("@")
    if not at:
        return Entry(option)
    if len(key) > LONGEST_KEY:
        raise BadOption(
            f"{shorten(key)!r}: an entry should be at most {LONGEST_KEY} characters, not {len(key)}"
        )
    first, slash, last = window.partition("/")
    if not slash:
        raise BadOption(f"{key!r}: a window should be START/END or START/, not {window!r}")
    start, end = _parse_instant(key, first), _parse_instant(key, last) if last else None
    if end and end <= start:
        raise BadOption(
            f"{key!r}: a window should end after its start {_format(start)}, not at {_format(end)}"
        )
    return Entry(option, start, end)


def _parse_instant(key: str, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo and not (instant := given.astimezone(UTC)).microsecond:
            return instant
    except (ValueError, OverflowError):
        pass
    raise BadOption(f"{key!r}: a time should be such as 2026-11-21T22:00:00Z, not {text!r}")


def _format(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

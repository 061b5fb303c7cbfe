"""Form of all options: its fields, and the changes that a user made in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from tecken.errors import InvalidInput
from tecken.runtimeconfig.models import Change
from tecken.runtimeconfig.snapshot import Entry, OptionRow

SEVERAL_LINES = ("str", "names")
WINDOW = ("window-option", "window-text", "window-from", "window-until")


class Edits(NamedTuple):
    """Changes by entry, and the problems of fields, by entry or name of the field."""

    changes: dict[str, str | None]
    problems: dict[str, str]


class Field(NamedTuple):
    """Field of an option; `last` is its newest change."""

    row: OptionRow
    edits: Edits
    last: Change | None

    @property
    def has_several_lines(self) -> bool:
        """Whether the text may have several lines."""
        return self.row.option.kind in SEVERAL_LINES

    @property
    def is_changed(self) -> bool:
        """Whether the user has changed the text."""
        return self.row.option.name in self.edits.changes

    @property
    def text(self) -> str:
        """Text that the user typed, or else the saved one."""
        edited = self.edits.changes.get(self.row.option.name)
        return saved_text(self.row) if edited is None else edited

    @property
    def scheduled_text(self) -> str:
        """The value in force, where a window replaces the text of the field."""
        value = self.row.option.format(self.row.value)
        return value if self.row.scheduled and value != saved_text(self.row) else ""

    @property
    def problem(self) -> str:
        """Reason why the text cannot be used; empty for a valid one."""
        return self.edits.problems.get(self.row.option.name, self.row.bad)


def read_edits(
    form: Mapping[str, str], rows: Iterable[OptionRow], texts: Mapping[str, str], now: datetime
) -> Edits:
    """Return what differs from the rows that the form was made from, and what to unset of `texts`."""
    changes: dict[str, str | None] = {}
    for row in rows:
        name = row.option.name
        if name in form and _visible(row, form[name]) != _visible(row, saved_text(row)):
            changes[name] = form[name].replace("\r\n", "\n")
    changes |= {key: None for key in texts if f"unset:{key}" in form}
    try:
        return Edits(changes | dict(_read_window(form, now)), {})
    except InvalidInput as error:
        return Edits(changes, {"window": str(error)})


def saved_text(row: OptionRow) -> str:
    """Return the text that is set, or that of the default."""
    return row.option.default_text if row.text is None else row.text


def parse_instant(text: str) -> datetime | None:
    """Return the instant of a browser's field for date and time, in UTC. Raises InvalidInput."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"A time should be such as 2026-11-21 22:00, not {text[:80]!r}") from None


def build_fields(
    rows: Iterable[OptionRow], edits: Edits, last: Mapping[str, Change]
) -> list[tuple[str, list[Field]]]:
    """Return the fields by group."""
    fields = (Field(row, edits, last.get(row.option.name)) for row in rows)
    return [(title, list(group)) for title, group in groupby(fields, lambda field: field.row.option.group)]


def _visible(row: OptionRow, text: str) -> str:
    """Return what a browser preserves: it changes line ends and drops what it cannot show."""
    line_end = "\n" if row.option.kind in SEVERAL_LINES else ""
    return "".join(character for character in text if character.isprintable() or character in line_end)


def _read_window(form: Mapping[str, str], now: datetime) -> Iterator[tuple[str, str]]:
    option, text, start, end = (form.get(name, "").strip() for name in WINDOW)
    if option:
        begin = parse_instant(start) or now.replace(microsecond=0)
        yield Entry(option, begin, parse_instant(end)).key, text
    elif text or start or end:
        raise InvalidInput("Choose an option for this value.")

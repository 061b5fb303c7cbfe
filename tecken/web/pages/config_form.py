"""Form of all options: its sections and fields, their filter, and the changes that a user made in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from django.utils.text import slugify

from tecken.errors import InvalidInput
from tecken.runtimeconfig.backend import to_utc
from tecken.runtimeconfig.models import Change
from tecken.runtimeconfig.snapshot import Entry, OptionRow

SEVERAL_LINES = ("str", "names")
WINDOW = ("window-option", "window-text", "window-from", "window-until")


class Edits(NamedTuple):
    """Changes by entry, and the problems of fields, by entry or name of the field."""

    changes: dict[str, str | None]
    problems: Mapping[str, str]


class OptionFilter(NamedTuple):
    """Choice of options: those with all words in name, help or value, or only those that are set."""

    text: str
    is_changed_only: bool

    @classmethod
    def of(cls, form: Mapping[str, str]) -> OptionFilter:
        """Return the filter in a form, or in the query of an address."""
        return cls(form.get("q", "").strip(), "changed" in form)

    def includes(self, row: OptionRow) -> bool:
        """Return whether to show an option."""
        if self.is_changed_only and not _is_set(row):
            return False
        texts = (
            row.option.name,
            row.option.text,
            _saved_text(row),
            *(window.text for window in row.scheduled),
        )
        searched = " ".join(texts).casefold()
        return all(word in searched for word in self.text.casefold().split())


class OptionSection(NamedTuple):
    """Options of one subject. A hidden one has no field to show, and is still a part of the form."""

    title: str
    slug: str
    fields: list[dict[str, Any]]
    is_hidden: bool


def build_sections(
    rows: Iterable[OptionRow], edits: Edits, last: Mapping[str, Change], shown: OptionFilter
) -> list[OptionSection]:
    """Return the options by subject."""
    groups = groupby(build_fields(rows, edits, last, shown), lambda field: field["option"].group)
    sections = [(title, list(fields)) for title, fields in groups]
    return [
        OptionSection(title, slugify(title), fields, all(field["is_hidden"] for field in fields))
        for title, fields in sections
    ]


def read_edits(
    form: Mapping[str, str], rows: Iterable[OptionRow], texts: Mapping[str, str], now: datetime
) -> Edits:
    """Return what differs from the rows that the form was made from, and what to unset of `texts`."""
    changes: dict[str, str | None] = {}
    for row in rows:
        name = row.option.name
        if name in form and _visible(row, form[name]) != _visible(row, _saved_text(row)):
            changes[name] = form[name].replace("\r\n", "\n")
    changes |= {key: None for key in texts if f"unset:{key}" in form}
    try:
        return Edits(changes | dict(_read_window(form, now)), {})
    except InvalidInput as error:
        return Edits(changes, {"window": str(error)})


def build_fields(
    rows: Iterable[OptionRow], edits: Edits, last: Mapping[str, Change], shown: OptionFilter
) -> Iterator[dict[str, Any]]:
    """Yield the fields. `text` is what the user typed, or else the saved text; `last` the newest change.

    A field with a change that is not saved is never hidden: saving must not send what cannot be seen.
    """
    edited_names = {key.partition("@")[0] for key in edits.changes}
    for row in rows:
        name, saved, in_force = row.option.name, _saved_text(row), row.option.format(row.value)
        edited = edits.changes.get(name)
        yield {
            "option": row.option,
            "row": row,
            "text": saved if edited is None else edited,
            "has_several_lines": row.option.kind in SEVERAL_LINES,
            "is_changed": name in edits.changes,
            "is_edited": name in edited_names,
            "is_set": _is_set(row),
            "is_hidden": name not in edited_names and not shown.includes(row),
            "scheduled_text": in_force if row.scheduled and in_force != saved else "",
            "problem": edits.problems.get(name, row.bad),
            "last": last.get(name),
        }


def parse_instant(text: str) -> datetime | None:
    """Return the instant of a browser's field for date and time, in UTC. Raises InvalidInput."""
    try:
        return to_utc(datetime.fromisoformat(text)) if text else None
    except (ValueError, OverflowError):
        raise InvalidInput(f"A time should be such as 2026-11-21 22:00, not {text[:80]!r}") from None


def _saved_text(row: OptionRow) -> str:
    return row.option.default_text if row.text is None else row.text


def _is_set(row: OptionRow) -> bool:
    return row.text is not None or bool(row.scheduled)


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

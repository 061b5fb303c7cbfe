"""The form of all options: what it shows, and what somebody changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from tecken.errors import BadInput
from tecken.runtimeconfig.models import Change
from tecken.runtimeconfig.presentation import Row
from tecken.runtimeconfig.schedule import Entry, spelt

SEVERAL_LINES = ("str", "json", "names")
WINDOW = ("window-option", "window-text", "window-from", "window-until")


class Field(NamedTuple):
    """`text` stands in the field, `theirs` is set; `now` is in force where that is something else."""

    row: Row
    text: str
    default: str
    now: str
    problem: str
    theirs: str | None
    differs: bool
    last: Change | None

    @property
    def several_lines(self) -> bool:
        return self.row.option.kind in SEVERAL_LINES


class Edits(NamedTuple):
    """`problems`: what could not even be read, by the field it stands in."""

    changes: dict[str, str | None]
    problems: dict[str, str]


def edits(sent: Mapping[str, str], read: Iterable[Row], texts: Mapping[str, str], now: datetime) -> Edits:
    """What differs from the rows that the form was made from, and what is to be unset of `texts`."""
    changes: dict[str, str | None] = {}
    for row in read:
        name = row.option.name
        if name in sent and _comparable(row, sent[name]) != _comparable(row, in_field(row)):
            changes[name] = sent[name].replace("\r\n", "\n")
    changes |= {key: None for key in texts if f"unset:{key}" in sent}
    try:
        return Edits(changes | dict(_window(sent, now)), {})
    except BadInput as error:
        return Edits(changes, {"window": str(error)})


def in_field(row: Row) -> str:
    return row.option.shown(row.option.default) if row.text is None else row.text


def _comparable(row: Row, text: str) -> str:
    """As it comes back from a browser, which changes line ends and drops what it cannot show."""
    kept = "\n" if row.option.kind in SEVERAL_LINES else ""
    return "".join(c for c in text if c.isprintable() or c in kept)


def _window(sent: Mapping[str, str], now: datetime) -> Iterator[tuple[str, str]]:
    option, text, start, end = (sent.get(name, "").strip() for name in WINDOW)
    if option:
        begin = instant(start) or now.replace(microsecond=0)
        yield spelt(Entry(option, begin, instant(end))), text
    elif text or start or end:
        raise BadInput("Which option?")


def instant(text: str) -> datetime | None:
    """As a browser's field for date and time has it, in UTC. Raises BadInput."""
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"A time should be such as 2026-11-21 22:00, not {text[:80]!r}") from None


def fields(
    rows: Iterable[Row],
    given: Mapping[str, str | None],
    problems: Mapping[str, str],
    last: Mapping[str, Change],
) -> list[tuple[str, list[Field]]]:
    """By group. `given` stands in the fields instead of what is set."""
    every = (_field(row, given, problems, last) for row in rows)
    return [(title, list(some)) for title, some in groupby(every, lambda field: field.row.option.group)]


def _other_now(row: Row) -> str:
    """What is in force, where that is a scheduled text."""
    now = row.option.shown(row.value)
    return now if row.scheduled and now != in_field(row) else ""


def _field(
    row: Row, given: Mapping[str, str | None], problems: Mapping[str, str], last: Mapping[str, Change]
) -> Field:
    name = row.option.name
    default = row.option.shown(row.option.default)
    mine = given.get(name)
    return Field(
        row=row,
        text=in_field(row) if mine is None else mine,
        default=default,
        now=_other_now(row),
        problem=problems.get(name, row.bad),
        theirs=row.text,
        differs=name in given,
        last=last.get(name),
    )

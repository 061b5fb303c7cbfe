"""The runtime configuration as lines for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tecken.errors import CouldNotAsk
from tecken.management.times import shown
from tecken.runtimeconfig import current, history
from tecken.runtimeconfig.backend import Report
from tecken.runtimeconfig.history import database, newest
from tecken.runtimeconfig.models import Change, Version
from tecken.runtimeconfig.options import CATALOGUE, find_option
from tecken.runtimeconfig.presentation import Row, build_rows, find_unknown
from tecken.runtimeconfig.schedule import Entry
from tecken.runtimeconfig.snapshot import Snapshot


class Picture(NamedTuple):
    """`setters`: entry -> the change that set it. `troubles`: what could not be asked, and what disagrees."""

    snapshot: Snapshot
    recorded: Version
    setters: Mapping[str, Change]
    reports: list[Report]
    troubles: list[str]


def picture() -> Picture:
    """What the processes read, else what the database says. Raises CouldNotAsk when both are away."""
    troubles: list[str] = []
    reports: list[Report] = []
    try:
        there = current.backend().read()
        held: Snapshot | None = Snapshot(*there)
        reports = [report for report in current.backend().reports() if report.kind != "command"]
    except CouldNotAsk as error:
        held = None
        troubles.append(f"these are the database's values: {error}")
    recorded, setters = _recorded(troubles, must=held is None)
    held = held or Snapshot(recorded.number, recorded.stamp, recorded.values)
    if setters is not None and (held.version, held.stamp) != (recorded.number, recorded.stamp):
        troubles.append(
            f"the database has version {recorded.number}, the processes read {held.version}: "
            "they will agree within a minute"
        )
    return Picture(held, recorded, setters or {}, reports, troubles)


def _recorded(troubles: list[str], *, must: bool) -> tuple[Version, dict[str, Change] | None]:
    try:
        with database():
            last = newest()
            newest_first = history.find_changes().filter(entry__in=list(last.values))
            setters: dict[str, Change] = {}
            for change in newest_first:
                setters.setdefault(change.entry, change)
            return last, setters
    except CouldNotAsk as error:
        if must:
            raise
        troubles.append(f"who set what is not known: {error}")
        return Version(number=0), None


def text_in_force(held: Snapshot, name: str, now: datetime) -> str:
    key = held.in_force(now).get(name)
    option = CATALOGUE[name]
    return option.default_text if key is None else held.texts[key]


def list_lines(seen: Picture, now: datetime) -> Iterator[str]:
    yield _version_line(seen)
    group = ""
    for row in build_rows(seen.snapshot, now):
        if row.option.group != group:
            group = row.option.group
            yield from ("", group)
        yield from _row_lines(seen, row, now)
    unknown = find_unknown(seen.snapshot)
    if unknown:
        yield from ("", "Unknown: not in use, `config unset NAME` removes them")
        for key, text in unknown.items():
            yield f"  {key} = {text}"
            yield f"      IGNORED: {seen.snapshot.bad[key]}"


def _version_line(seen: Picture) -> str:
    held, last = seen.snapshot, seen.recorded
    if not held.version:
        return "version 0: nothing was ever set"
    made = f", made {shown(last.at)} by {_by(last)}" if (held.version, held.stamp) == _which(last) else ""
    if not seen.reports:
        return f"version {held.version}{made}; no process is running"
    having = sum((report.version, report.stamp) == (held.version, held.stamp) for report in seen.reports)
    having_it = f"{having} of {len(seen.reports)} processes have it"
    age = max(report.age for report in seen.reports)
    return f"version {held.version}{made}; {having_it}, heard of {age:.1f} s ago at most"


def _row_lines(seen: Picture, row: Row, now: datetime) -> Iterator[str]:
    option = row.option
    yield f"  {option.name} = {text_in_force(seen.snapshot, option.name, now)}"
    yield f"      {option.text}"
    yield f"      {option.allowed}; default {option.default_text or 'empty'}"
    if row.text is not None:
        yield f"      set to {row.text!r}{_set_by(seen, option.name)}"
    if row.bad:
        yield f"      IGNORED: {row.bad}"
    for one in row.scheduled:
        ignored = f" IGNORED: {one.bad}" if one.bad else " (over)" if one.end and one.end <= now else ""
        until = f" until {shown(one.end)}" if one.end else ""
        yield f"      {one.text!r} from {shown(one.start)}{until}{_set_by(seen, one.key)}{ignored}"


def _set_by(seen: Picture, key: str) -> str:
    change = seen.setters.get(key)
    if change is None or change.new != seen.snapshot.texts.get(key):
        return ""
    made = change.version
    return f" by {_by(made)} at {shown(made.at)}, version {made.number}{f': {made.why}' if made.why else ''}"


def _by(made: Version) -> str:
    return f"{made.by} ({made.source})"


def _which(made: Version) -> tuple[int, str]:
    return made.number, made.stamp


def as_json(seen: Picture, now: datetime) -> dict[str, Any]:
    held = seen.snapshot
    return {
        "version": held.version,
        "stamp": held.stamp,
        "options": [_row_json(seen, row, now) for row in build_rows(held, now)],
        "unknown": find_unknown(held),
        "processes": [report._asdict() for report in seen.reports],
        "troubles": seen.troubles,
    }


def _row_json(seen: Picture, row: Row, now: datetime) -> dict[str, Any]:
    option = row.option
    return {
        "name": option.name,
        "group": option.group,
        "kind": option.kind,
        "in_force": text_in_force(seen.snapshot, option.name, now),
        "value": row.value,
        "text": row.text,
        "bad": row.bad,
        "default": option.default,
        "allowed": option.allowed,
        "bounds": dict(option.bounds),
        "help": option.text,
        "set": _setter(seen, option.name),
        "scheduled": [one._asdict() | {"set": _setter(seen, one.key)} for one in row.scheduled],
    }


def _setter(seen: Picture, key: str) -> dict[str, Any] | None:
    change = seen.setters.get(key)
    if change is None:
        return None
    made = change.version
    return {
        "version": made.number,
        "at": made.at,
        "by": made.by,
        "source": made.source,
        "why": made.why,
    }


def step(key: str, old: str | None, new: str | None) -> str:
    """`symbolicate_max_jobs 10 (default) -> 20`"""
    return f"{key} {_side(key, old)} -> {_side(key, new)}"


def steps(changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    return ", ".join(step(key, old, new) for key, (old, new) in changed.items())


def _side(key: str, text: str | None) -> str:
    if text is not None:
        return text or '""'
    option = CATALOGUE.get(key)
    if option is None:
        return "not scheduled" if "@" in key else "not set"
    return f"{option.default_text or 'empty'} (default)"


def history_lines(changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        made = change.version
        why = f"  # {made.why}" if made.why else ""
        what = step(change.entry, change.old, change.new)
        yield f"{made.number:>5}  {shown(made.at)}  {_by(made)}  {what}{why}"


def entries_of(name: str, texts: Iterable[str]) -> list[str]:
    """What `unset NAME` means: the text of an option and what is scheduled for it; or one entry."""
    return [key for key in texts if key == name or key.startswith(f"{name}@")] or [name]


def window_key(name: str, start: datetime, end: datetime | None) -> str:
    return Entry(find_option(name).name, start, end).key

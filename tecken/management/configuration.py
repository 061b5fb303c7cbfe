"""Runtime configuration as lines for people and as JSON for programs."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tecken.errors import Unavailable
from tecken.management.text import format_time
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import ConfigBackend, Report, Values
from tecken.runtimeconfig.models import Change, Version
from tecken.runtimeconfig.options import CATALOGUE, find_option
from tecken.runtimeconfig.service import database, difference, find_version, newest
from tecken.runtimeconfig.snapshot import Entry, OptionRow, Snapshot, build_rows, find_unknown

POLL_SECONDS = 1.0
PAUSE_SECONDS = 1.0


def operator() -> str:
    """Return the account that runs the command; in a container its user id may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class ConfigOverview(NamedTuple):
    """State of the configuration. `setters` maps an entry to the change that set it."""

    snapshot: Snapshot
    recorded: Version
    setters: Mapping[str, Change]
    reports: list[Report]
    warnings: list[str]


def read_picture() -> ConfigOverview:
    """Return the values that the processes read, or those of the database if the backend does not answer.

    Raises:
        Unavailable: Neither the backend nor the database answers.
    """
    warnings: list[str] = []
    reports: list[Report] = []
    try:
        snapshot: Snapshot | None = Snapshot(*current.backend().read())
        reports = [report for report in current.backend().reports() if report.kind != "command"]
    except Unavailable as error:
        snapshot = None
        warnings.append(f"these are the database's values: {error}")
    recorded, setters = _read_recorded(warnings, is_required=snapshot is None)
    snapshot = snapshot or Snapshot(recorded.number, recorded.stamp, recorded.values)
    if setters is not None and (snapshot.version, snapshot.stamp) != (recorded.number, recorded.stamp):
        warnings.append(
            f"the database has version {recorded.number}, the processes read {snapshot.version}: "
            "they will agree within a minute"
        )
    return ConfigOverview(snapshot, recorded, setters or {}, reports, warnings)


def _read_recorded(warnings: list[str], *, is_required: bool) -> tuple[Version, dict[str, Change] | None]:
    try:
        with database():
            last = newest()
            newest_first = service.find_changes().filter(entry__in=list(last.values))
            setters: dict[str, Change] = {}
            for change in newest_first:
                setters.setdefault(change.entry, change)
            return last, setters
    except Unavailable as error:
        if is_required:
            raise
        warnings.append(f"it is unknown who set what: {error}")
        return Version(number=0), None


def find_text(snapshot: Snapshot, name: str, now: datetime) -> str:
    """Return the text of an option that is in force at `now`."""
    key = snapshot.in_force(now).get(name)
    option = CATALOGUE[name]
    return option.default_text if key is None else snapshot.texts[key]


def list_lines(picture: ConfigOverview, now: datetime) -> Iterator[str]:
    """Yield the lines of `config list`."""
    yield _version_line(picture)
    group = ""
    for row in build_rows(picture.snapshot, now):
        if row.option.group != group:
            group = row.option.group
            yield from ("", group)
        yield from _row_lines(picture, row, now)
    unknown = find_unknown(picture.snapshot)
    if unknown:
        yield from ("", "Unknown: not in use; `config unset NAME` removes them")
        for key, text in unknown.items():
            yield f"  {key} = {text}"
            yield f"      IGNORED: {picture.snapshot.bad[key]}"


def _version_line(picture: ConfigOverview) -> str:
    snapshot, last = picture.snapshot, picture.recorded
    if not snapshot.version:
        return "version 0: nothing was ever set"
    is_recorded = (snapshot.version, snapshot.stamp) == (last.number, last.stamp)
    made = f", made {format_time(last.at)} by {_by(last)}" if is_recorded else ""
    if not picture.reports:
        return f"version {snapshot.version}{made}; no process is running"
    having = sum(report.has_applied(snapshot.version, snapshot.stamp) for report in picture.reports)
    having_it = f"{having} of {len(picture.reports)} processes have it"
    age = max(report.age for report in picture.reports)
    return f"version {snapshot.version}{made}; {having_it}, last contact at most {age:.1f} s ago"


def _row_lines(picture: ConfigOverview, row: OptionRow, now: datetime) -> Iterator[str]:
    option = row.option
    yield f"  {option.name} = {find_text(picture.snapshot, option.name, now)}"
    yield f"      {option.text}"
    yield f"      {option.allowed}; default {option.default_text or 'empty'}"
    if row.text is not None:
        yield f"      set to {row.text!r}{_set_by(picture, option.name)}"
    if row.bad:
        yield f"      IGNORED: {row.bad}"
    for window in row.scheduled:
        is_over = window.end and window.end <= now
        note = f" IGNORED: {window.bad}" if window.bad else " (over)" if is_over else ""
        until = f" until {format_time(window.end)}" if window.end else ""
        author = _set_by(picture, window.key)
        yield f"      {window.text!r} from {format_time(window.start)}{until}{author}{note}"


def _set_by(picture: ConfigOverview, key: str) -> str:
    change = picture.setters.get(key)
    if change is None or change.new != picture.snapshot.texts.get(key):
        return ""
    version = change.version
    reason = f": {version.why}" if version.why else ""
    return f" by {_by(version)} at {format_time(version.at)}, version {version.number}{reason}"


def _by(version: Version) -> str:
    return f"{version.by} ({version.source})"


def build_json(picture: ConfigOverview, now: datetime) -> dict[str, Any]:
    """Return the document of `config list --json`."""
    snapshot = picture.snapshot
    return {
        "version": snapshot.version,
        "stamp": snapshot.stamp,
        "options": [_row_json(picture, row, now) for row in build_rows(snapshot, now)],
        "unknown": find_unknown(snapshot),
        "processes": [report._asdict() for report in picture.reports],
        "troubles": picture.warnings,
    }


def _row_json(picture: ConfigOverview, row: OptionRow, now: datetime) -> dict[str, Any]:
    option = row.option
    return {
        "name": option.name,
        "group": option.group,
        "kind": option.kind,
        "in_force": find_text(picture.snapshot, option.name, now),
        "value": row.value,
        "text": row.text,
        "bad": row.bad,
        "default": option.default,
        "allowed": option.allowed,
        "bounds": dict(option.bounds),
        "help": option.text,
        "set": _setter(picture, option.name),
        "scheduled": [window._asdict() | {"set": _setter(picture, window.key)} for window in row.scheduled],
    }


def _setter(picture: ConfigOverview, key: str) -> dict[str, Any] | None:
    change = picture.setters.get(key)
    if change is None:
        return None
    version = change.version
    return {
        "version": version.number,
        "at": version.at,
        "by": version.by,
        "source": version.source,
        "why": version.why,
    }


def format_change(key: str, old: str | None, new: str | None) -> str:
    """Return a change as `symbolicate_max_jobs 10 (default) -> 20`."""
    return f"{key} {_side(key, old)} -> {_side(key, new)}"


def format_changes(changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    """Return several changes in one line."""
    return ", ".join(format_change(key, old, new) for key, (old, new) in changed.items())


def _side(key: str, text: str | None) -> str:
    if text is not None:
        return text or '""'
    option = CATALOGUE.get(key)
    if option is None:
        return "not scheduled" if "@" in key else "not set"
    return f"{option.default_text or 'empty'} (default)"


def history_lines(changes: Iterable[Change]) -> Iterator[str]:
    """Yield a line for each change."""
    for change in changes:
        version = change.version
        why = f"  # {version.why}" if version.why else ""
        what = format_change(change.entry, change.old, change.new)
        yield f"{version.number:>5}  {format_time(version.at)}  {_by(version)}  {what}{why}"


def find_entries(name: str, texts: Iterable[str]) -> list[str]:
    """Return what `unset NAME` removes: the text of an option and its windows, or one entry."""
    return [key for key in texts if key == name or key.startswith(f"{name}@")] or [name]


def window_key(name: str, start: datetime, end: datetime | None) -> str:
    """Return the key of an option's value from `start` to `end`."""
    return Entry(find_option(name).name, start, end).key


def watch_lines(backend: ConfigBackend) -> Generator[str]:
    """Yield a line for each change, without end; one for an outage, after which it continues."""
    last: Values | None = None
    is_reachable = True
    while True:
        try:
            for values in _versions(backend, last):
                is_reachable = True
                yield _line(last, values)
                last = values
        except Unavailable as error:
            if is_reachable:
                yield f"{_clock()} {error}; waiting"
            is_reachable = False
            time.sleep(PAUSE_SECONDS)


def _versions(backend: ConfigBackend, last: Values | None) -> Iterator[Values]:
    """Yield each version that differs from the one before; a lost message costs one poll."""
    with backend.subscribe() as subscription:
        while True:
            values = backend.read()
            if last is None or values != last:
                yield values
                last = values
            subscription.next(POLL_SECONDS)


def _line(last: Values | None, values: Values) -> str:
    if last is None:
        return f"{_clock()} version {values.version}; watching, Ctrl-C ends it"
    changes = format_changes(difference(last.texts, values.texts)) or "the same values"
    return f"{_clock()} version {values.version}{_author(values)}: {changes}"


def _author(values: Values) -> str:
    """Return who made a version; empty while the database does not answer, or does not have it yet."""
    try:
        with database():
            version = find_version(values.version, values.stamp) if values.stamp else None
    except Unavailable:
        return ""
    if version is None:
        return ""
    return f" by {version.by} ({version.source})" + (f", {version.why}" if version.why else "")


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"

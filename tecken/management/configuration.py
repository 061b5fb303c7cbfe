"""Runtime configuration as lines for people."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from tecken.errors import Unavailable
from tecken.management.text import format_time
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Report, Values
from tecken.runtimeconfig.models import Change, Version
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.process import ConfigBackend
from tecken.runtimeconfig.service import database
from tecken.runtimeconfig.snapshot import OptionRow, Snapshot, build_rows, find_unknown, list_processes
from tecken.runtimeconfig.undo import UndoPlan

POLL_SECONDS = 1.0


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
    processes: list[tuple[Report, bool]]
    warnings: list[str]


def read_overview() -> ConfigOverview:
    """Return the values that the processes read, or those of the database if the backend does not answer.

    Raises:
        Unavailable: Neither the backend nor the database answers.
    """
    recorded, setters, processes, warnings = Version(number=0), {}, [], []
    try:
        snapshot = Snapshot(*current.backend().read())
        processes = list_processes(current.backend().reports(), snapshot.version, snapshot.stamp)
    except Unavailable as error:
        snapshot = None
        warnings.append(f"these are the database's values: {error}")
    try:
        with database():
            recorded = service.newest()
            setters = service.find_last_changes()
    except Unavailable as error:
        if snapshot is None:
            raise
        warnings.append(f"it is unknown who set what: {error}")
    snapshot = snapshot or recorded.snapshot
    if not warnings and (snapshot.version, snapshot.stamp) != (recorded.number, recorded.stamp):
        warnings.append(
            f"the database has version {recorded.number}, the processes read {snapshot.version}: "
            "they will agree within a minute"
        )
    return ConfigOverview(snapshot, recorded, setters, processes, warnings)


def list_lines(overview: ConfigOverview, now: datetime) -> Iterator[str]:
    """Yield the lines of `config list`."""
    yield _version_line(overview)
    group = ""
    for row in build_rows(overview.snapshot, now):
        if row.option.group != group:
            group = row.option.group
            yield from ("", group)
        yield from _row_lines(overview, row, now)
    unknown = find_unknown(overview.snapshot)
    if unknown:
        yield from ("", "Unknown: not in use; `config unset NAME` removes them")
        for key, text in unknown.items():
            yield f"  {key} = {text}"
            yield f"      IGNORED: {overview.snapshot.bad[key]}"


def _version_line(overview: ConfigOverview) -> str:
    snapshot, last, processes = overview.snapshot, overview.recorded, overview.processes
    if not snapshot.version:
        return "version 0: nothing was ever set"
    is_recorded = (snapshot.version, snapshot.stamp) == (last.number, last.stamp)
    made = f", made {format_time(last.at)} by {last.author}" if is_recorded else ""
    if not processes:
        return f"version {snapshot.version}{made}; no process is running"
    applied = sum(has_applied for _report, has_applied in processes)
    age = max(report.age for report, _has_applied in processes)
    have_it = f"{applied} of {len(processes)} processes have it, last contact at most {age:.1f} s ago"
    return f"version {snapshot.version}{made}; {have_it}"


def _row_lines(overview: ConfigOverview, row: OptionRow, now: datetime) -> Iterator[str]:
    option = row.option
    yield f"  {option.name} = {row.in_force}"
    yield f"      {option.text}"
    yield f"      {option.allowed}; default {option.default_text or 'empty'}"
    if row.text is not None:
        yield f"      set to {row.text!r}{_set_by(overview, option.name)}"
    if row.bad:
        yield f"      IGNORED: {row.bad}"
    for window in row.scheduled:
        is_over = window.end and window.end <= now
        note = f" IGNORED: {window.bad}" if window.bad else " (over)" if is_over else ""
        until = f" until {format_time(window.end)}" if window.end else ""
        author = _set_by(overview, window.key)
        yield f"      {window.text!r} from {format_time(window.start)}{until}{author}{note}"


def _set_by(overview: ConfigOverview, key: str) -> str:
    change = overview.setters.get(key)
    if change is None or change.new != overview.snapshot.texts.get(key):
        return ""
    version = change.version
    reason = f": {version.why}" if version.why else ""
    return f" by {version.author} at {format_time(version.at)}, version {version.number}{reason}"


def format_change(key: str, old: str | None, new: str | None) -> str:
    """Return a change as `symbolicate_max_jobs 10 (default) -> 20`."""
    return f"{key} {_side(key, old)} -> {_side(key, new)}"


def undo_lines(plan: UndoPlan) -> Iterator[str]:
    """Yield the lines of `config undo --dry-run`."""
    if not any(plan):
        yield "nothing to change"
    for key, texts in plan.changes.items():
        yield f"would change {format_change(key, *texts)}"
    for key, texts in plan.later.items():
        yield f"changed again since, and with --later overwrite would change {format_change(key, *texts)}"
    for key, reason in plan.left_out.items():
        yield f"cannot restore {key}: {reason}"


def _side(key: str, text: str | None) -> str:
    if text is not None:
        return text or '""'
    option = CATALOGUE.get(key)
    if option is None:
        return "not scheduled" if "@" in key else "not set"
    return f"{option.default_text or 'empty'} (default)"


def watch_lines(backend: ConfigBackend) -> Generator[str]:
    """Yield a line for each change, without end; one for an outage, after which it continues."""
    last: Values | None = None
    is_reachable = True
    while True:
        clock = f"{datetime.now(UTC):%H:%M:%S} UTC"
        try:
            values = backend.read()
        except Unavailable as error:
            if is_reachable:
                yield f"{clock} {error}; waiting"
            is_reachable = False
        else:
            is_reachable = True
            if last is None:
                yield f"{clock} version {values.version}; watching, Ctrl-C ends it"
            elif values != last:
                differences = service.difference(last.texts, values.texts)
                changes = ", ".join(format_change(key, *texts) for key, texts in differences.items())
                yield f"{clock} version {values.version}{_author(values)}: {changes or 'the same values'}"
            last = values
        time.sleep(POLL_SECONDS)


def _author(values: Values) -> str:
    """Return who made a version; empty while the database does not answer, or does not have it yet."""
    try:
        with database():
            version = Version.objects.filter(number=values.version, stamp=values.stamp).first()
    except Unavailable:
        version = None
    if version is None:
        return ""
    return f" by {version.author}" + (f", {version.why}" if version.why else "")

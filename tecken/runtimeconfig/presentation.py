"""Configuration as the page, the API and the command line present it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.backend import Report
from tecken.runtimeconfig.option import Option
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.schedule import Entry, parse_entry
from tecken.runtimeconfig.snapshot import Snapshot


class Scheduled(NamedTuple):
    """Text of a window. `bad`: why it is ignored, else empty."""

    key: str
    start: datetime | None
    end: datetime | None
    text: str
    bad: str


class OptionRow(NamedTuple):
    """Option with the text that is always set, if any, and the value in force."""

    option: Option
    text: str | None
    value: Any
    bad: str
    scheduled: list[Scheduled]


def build_rows(snapshot: Snapshot, now: datetime) -> list[OptionRow]:
    """Return all options in the order of declaration."""
    values = snapshot.options(now)
    return [
        OptionRow(
            option,
            snapshot.texts.get(name),
            getattr(values, name),
            snapshot.bad.get(name, ""),
            [_schedule(snapshot, key) for key in sorted(snapshot.texts) if key.startswith(f"{name}@")],
        )
        for name, option in CATALOGUE.items()
    ]


def _schedule(snapshot: Snapshot, key: str) -> Scheduled:
    try:
        entry = parse_entry(key)
    except BadOption:
        entry = Entry(key)
    return Scheduled(key, entry.start, entry.end, snapshot.texts[key], snapshot.bad.get(key, ""))


def find_unknown(snapshot: Snapshot) -> dict[str, str]:
    """Return the entries of options that do not exist (any more)."""
    return {key: text for key, text in snapshot.texts.items() if key.partition("@")[0] not in CATALOGUE}


def list_processes(reports: Iterable[Report], version: int, stamp: str) -> list[tuple[Report, bool]]:
    """Return the processes other than commands, and whether each has the version or a newer one."""
    return [
        (report, report.has_applied(version, stamp)) for report in sorted(reports) if report.kind != "command"
    ]

"""The configuration as people see it: a row for each option, and what is wrong with a change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tecken.errors import BadOption
from tecken.runtimeconfig.backend import Report
from tecken.runtimeconfig.option import Option
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.schedule import entry
from tecken.runtimeconfig.snapshot import Snapshot, check_all


class Scheduled(NamedTuple):
    """A text that holds for a while. An empty `bad` is good."""

    key: str
    start: datetime | None
    end: datetime | None
    text: str
    bad: str


class Row(NamedTuple):
    """`text`: what was set for always; None where nothing was. `value`: what is in force now."""

    option: Option
    text: str | None
    value: Any
    bad: str
    scheduled: list[Scheduled]


def rows(snapshot: Snapshot, now: datetime) -> list[Row]:
    """One for each option that there is, in the order of declaration."""
    values = snapshot.options(now)
    windows = list(_scheduled(snapshot))
    return [
        Row(
            option,
            snapshot.texts.get(name),
            getattr(values, name),
            snapshot.bad.get(name, ""),
            [one for one in windows if one.key.startswith(f"{name}@")],
        )
        for name, option in CATALOGUE.items()
    ]


def _scheduled(snapshot: Snapshot) -> Iterator[Scheduled]:
    for key, text in sorted(snapshot.texts.items()):
        if "@" in key:
            bad = snapshot.bad.get(key, "")
            try:
                _option, start, end = entry(key)
            except BadOption:
                start = end = None
            yield Scheduled(key, start, end, text, bad)


def strays(snapshot: Snapshot) -> dict[str, str]:
    """Entries of options that are no more: entry -> text."""
    return {key: text for key, text in snapshot.texts.items() if key.partition("@")[0] not in CATALOGUE}


def applied(reports: Iterable[Report], version: int, stamp: str) -> list[tuple[Report, bool]]:
    """Each process that serves, and whether it has this version, or a newer one."""
    serving = sorted(one for one in reports if one.kind != "command")
    return [(one, (one.version, one.stamp) == (version, stamp) or one.version > version) for one in serving]


def problems(changes: Mapping[str, str | None], there: Collection[str]) -> dict[str, str]:
    """What is wrong with each of them, as `check_all` has it: entry -> the error's text."""
    return {key: text for key, given in changes.items() if (text := _problem(key, given, there))}


def _problem(key: str, given: str | None, there: Collection[str]) -> str:
    try:
        check_all({key: given}, there)
    except BadOption as error:
        return str(error)
    return ""

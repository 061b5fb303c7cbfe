"""Where every process finds the texts of the options that are set: the port, and what passes through it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

Level = Literal["full", "uploads"]
REPORT_SECONDS = 15  # how long a report counts


class ConfigHead(NamedTuple):
    """Enough to see that something changed. Version 0: nothing is there. Stamp "": moved by hand."""

    version: int
    stamp: str
    maintenance: str | None
    uploads_closed: str | None


class Values(NamedTuple):
    version: int
    stamp: str
    texts: Mapping[str, str]


class Change(NamedTuple):
    """`at` is ISO 8601, UTC. `source`: cli, api, page, redis, rollback, import or refill."""

    version: int
    stamp: str
    by: str
    why: str
    at: str
    source: str


class Report(NamedTuple):
    """What a process has in force. `process` is host:pid, `kind` web, worker, beat or command, `age` seconds
    since it last heard of the backend, `bad` the number of entries that it could not use."""

    process: str
    kind: str
    version: int
    stamp: str
    age: float
    bad: int


class Hint(NamedTuple):
    """Something may have changed: look. `text` is what was heard."""

    text: str


class Subscription(Protocol):
    def next(self, seconds: float) -> Values | Hint | None:
        """Waits no longer than `seconds`. Raises CouldNotAsk when nothing can be heard any more."""
        ...


class ConfigBackend(Protocol):
    """Every method has one short deadline and then raises CouldNotAsk."""

    def head(self) -> ConfigHead: ...

    def read(self) -> Values: ...

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        """All of `texts`, instead of what was there, or nothing: Conflict when the version is not `expected`
        (0: nothing is there). Whoever listens hears it."""
        ...

    def report(self, report: Report) -> None:
        """Counts for REPORT_SECONDS."""
        ...

    def reports(self) -> list[Report]: ...

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        """None ends it; so does `until`. Whoever listens hears a hint."""
        ...

    def subscribe(self) -> AbstractContextManager[Subscription]:
        """What is written from here on is heard, unless the connection is lost."""
        ...


def stamp_of(version: int, change: object) -> str:
    """Of the Change that made `version`; empty when it made another."""
    if not isinstance(change, dict) or change.get("version") != version:
        return ""
    stamp = change.get("stamp")
    return stamp if isinstance(stamp, str) else ""


def values_of(text: str) -> Values | None:
    """JSON {"version", "stamp", "texts"}; None when it is anything else."""
    given = parsed(text)
    version, stamp, texts = given.get("version"), given.get("stamp"), given.get("texts")
    if type(version) is not int or version < 1 or not isinstance(stamp, str) or not isinstance(texts, dict):
        return None
    if not all(isinstance(one, str) for one in texts.values()):
        return None
    return Values(version, stamp, texts)


def report_of(text: str) -> Report | None:
    """The JSON of a Report; None when it is anything else."""
    try:
        return Report(**parsed(text))
    except TypeError:
        return None


def parsed(text: str | None) -> dict[str, Any]:
    """Empty when it is no JSON object."""
    try:
        given = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}

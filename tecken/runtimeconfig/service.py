"""Changing the runtime configuration: what the command line, the API and the page do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from tecken.runtimeconfig.models import Change


class Outcome(NamedTuple):
    """`distributed` False: recorded, but the shelf did not answer; a watcher or beat delivers it later."""

    version: int
    stamp: str
    changed: Mapping[str, tuple[str | None, str | None]]
    distributed: bool


class Spread(NamedTuple):
    """How far a version has come. `waiting`: processes (host:pid) that have another one."""

    applied: int
    processes: int
    elapsed: float
    waiting: list[str]


def change(
    changes: Mapping[str, str | None],
    *,
    by: str,
    user: AbstractBaseUser | None = None,
    why: str = "",
    source: str,
    expected: int | None = None,
) -> Outcome:
    """Raises BadOption, which names every problem, and Conflict."""
    raise NotImplementedError


def rollback(
    to: int,
    *,
    by: str,
    user: AbstractBaseUser | None = None,
    why: str = "",
    source: str = "rollback",
    expected: int | None = None,
) -> Outcome:
    raise NotImplementedError


def replace(
    texts: Mapping[str, str],
    *,
    by: str,
    user: AbstractBaseUser | None = None,
    why: str = "",
    source: str = "import",
    expected: int | None = None,
) -> Outcome:
    raise NotImplementedError


def history(option: str | None = None) -> QuerySet[Change]:
    raise NotImplementedError


def at(version: int) -> Mapping[str, str]:
    raise NotImplementedError


def diff(a: int, b: int) -> Mapping[str, tuple[str | None, str | None]]:
    raise NotImplementedError


def reconcile() -> None:
    raise NotImplementedError


def applied(version: int, stamp: str, seconds: float) -> Iterator[Spread]:
    raise NotImplementedError


def begin_maintenance(
    level: Literal["full", "uploads"],
    message: str,
    retry_after: float | None,
    until: datetime | None,
    by: str,
) -> None:
    raise NotImplementedError


def end_maintenance(level: Literal["full", "uploads"]) -> None:
    raise NotImplementedError

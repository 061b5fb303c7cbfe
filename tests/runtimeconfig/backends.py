"""Changes of a backend by hand, and outages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from django.db import connections

from tecken.errors import Unavailable
from tecken.runtimeconfig.backend import Change, MemoryBackend


class UnreachableBackend(MemoryBackend):
    """Backend that raises Unavailable while `away`."""

    away = True

    def __getattribute__(self, name: str) -> object:
        if name in ("head", "read", "write", "reports", "set_maintenance") and self.away:
            return _no_answer
        return super().__getattribute__(name)


def _no_answer(*_: object, **__: object) -> NoReturn:
    raise Unavailable("redis-cache does not answer")


def put(backend: MemoryBackend, version: int, stamp: str, texts: Mapping[str, str]) -> None:
    """Replace the values, regardless of the version."""
    backend.write(Change(version, stamp, "", "", "", ""), texts, expected=backend.read().version)


def set_by_hand(backend: MemoryBackend, **texts: str) -> None:
    """Do what HSET config:values and INCR config:version do."""
    there = backend.read()
    put(backend, there.version + 1, "", {**there.texts, **texts})


def close_connection() -> None:
    """Close this thread's connection. Django keeps that of SQLite in memory open."""
    mine = connections["default"]
    mine.close()
    if mine.connection is not None:
        mine.connection.close()
        mine.connection = None

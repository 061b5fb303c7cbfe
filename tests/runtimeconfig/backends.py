"""A backend of one test, changes of it by hand, and outages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn
from uuid import uuid4

from django.db import connections

from tecken import redisclient
from tecken.errors import Unavailable
from tecken.runtimeconfig.backend import Change
from tecken.runtimeconfig.backends.redis import RedisBackend
from tecken.runtimeconfig.process import ConfigBackend


class MemoryBackend(RedisBackend):
    """Backend on a server of its own, in the memory of this process."""

    def __init__(self) -> None:
        client = redisclient.client(f"memory://{uuid4()}", timeout=1, connect_timeout=1)
        super().__init__(client, "test:config")


class UnreachableBackend(MemoryBackend):
    """Backend that raises Unavailable while `away`."""

    away = True

    def __getattribute__(self, name: str) -> object:
        if name in ("head", "read", "write", "reports", "set_maintenance") and self.away:
            return _no_answer
        return super().__getattribute__(name)


def _no_answer(*_: object, **__: object) -> NoReturn:
    raise Unavailable("redis-cache does not answer")


def put(backend: ConfigBackend, version: int, stamp: str, texts: Mapping[str, str]) -> None:
    """Replace the values, regardless of the version."""
    backend.write(Change(version, stamp, "", "", "", ""), texts, expected=backend.read().version)


def set_by_hand(backend: ConfigBackend, **texts: str) -> None:
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

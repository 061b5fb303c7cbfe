"""What happens to a shelf behind our back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from django.db import connections

from tecken.errors import CouldNotAsk
from tecken.runtimeconfig.memory import MemoryShelf
from tecken.runtimeconfig.shelf import Change


class AwayShelf(MemoryShelf):
    """Does not answer while `away`."""

    away = True

    def __getattribute__(self, name: str) -> object:
        if name in ("glance", "read", "write", "reports", "set_maintenance") and self.away:
            return _no_answer
        return super().__getattribute__(name)


def _no_answer(*_: object, **__: object) -> NoReturn:
    raise CouldNotAsk("redis-cache does not answer")


def put(shelf: MemoryShelf, version: int, stamp: str, texts: Mapping[str, str]) -> None:
    """Whatever was there before."""
    shelf.write(Change(version, stamp, "", "", "", ""), texts, expected=shelf.read().version)


def set_by_hand(shelf: MemoryShelf, **texts: str) -> None:
    """HSET config:values, then INCR config:version."""
    there = shelf.read()
    put(shelf, there.version + 1, "", {**there.texts, **texts})


def close_connection() -> None:
    """This thread's. Django keeps that of SQLite in memory open."""
    mine = connections["default"]
    mine.close()
    if mine.connection is not None:
        mine.connection.close()
        mine.connection = None

"""Uses of modules that were missing until an upload brought them.

An upload has the ids watched under which its modules were missed. Each symbolication and download notes the
ids that it has found; the time of the last use is stored for watched ids only. Everything is on redis-cache
and expires: losing it costs a number on the page of an upload.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Final, cast

import redis
from cachetools import TTLCache

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.symbols.ids import GUID_DIGITS

WATCHED_SECONDS: Final = 30 * 86_400
# A process sends an id once in this time, so that a busy module costs no round trip with each request.
NOTED_SECONDS: Final = 60.0
# Ids that a process remembers as noted.
MAX_NOTED: Final = 10_000
# Ids of one request that are sent, in one round trip.
MAX_SENT: Final = 1_000


def watched_id(name: str, some_id: str) -> str:
    """Return the id of a requested file; a short one, which other files may have, with the file's name."""
    return some_id.upper() if len(some_id) >= GUID_DIGITS else f"{name.lower()}/{some_id.upper()}"


class FormerMisses:
    """Watched ids and their last uses. `clock` returns seconds since 1970."""

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._guard = guard
        self._clock = clock
        self._noted: TTLCache[str, None] = TTLCache(MAX_NOTED, NOTED_SECONDS, timer=clock)
        self._lock = Lock()

    def watch(self, ids: Collection[str]) -> None:
        """Store the uses of these ids from now on, for WATCHED_SECONDS. Raises nothing."""
        pipeline = self._client.pipeline(transaction=False)
        for some_id in ids:
            pipeline.set(_key(some_id), 0, nx=True, ex=WATCHED_SECONDS)
        with suppress(Unavailable):
            self._guard.call(pipeline.execute)

    def note(self, ids: Iterable[str]) -> None:
        """Store that files with these ids were used, if the ids are watched. Raises nothing."""
        with self._lock:
            new = [some_id for some_id in dict.fromkeys(ids) if some_id not in self._noted][:MAX_SENT]
            self._noted.update(dict.fromkeys(new))
        if not new:
            return
        now = int(self._clock())
        pipeline = self._client.pipeline(transaction=False)
        for some_id in new:
            pipeline.set(_key(some_id), now, xx=True, keepttl=True)
        with suppress(Unavailable):
            self._guard.call(pipeline.execute)

    def last_uses(self, ids: Sequence[str]) -> dict[str, datetime]:
        """Return when each of these ids was last used; those that were not used are left out.

        Raises Unavailable.
        """
        if not ids:
            return {}
        values = cast("list[bytes | None]", self._guard.call(self._client.mget, list(map(_key, ids))))
        return {
            some_id: datetime.fromtimestamp(int(value), UTC)
            for some_id, value in zip(ids, values, strict=True)
            if value and int(value)
        }


def _key(some_id: str) -> str:
    return f"missing:used:{some_id}"

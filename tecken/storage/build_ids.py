"""Whole build ids that requests carried, on redis-cache.

Requests for symbolication name an ELF file by its debug id: the first 16 bytes of its build id. debuginfod
servers know the whole one alone.

A client may send any end of a build id, so several are kept for a debug id, the last one first: a request
that carries the right one has it tried before all others. Losing a key costs the next request its symbols
from debuginfod servers until a request carries the build id again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.symbols.ids import WHOLE_BUILD_ID, debug_ids_of_code_id

INDEX: Final = "known:builds"
SECONDS: Final = 7 * 86_400
# Build ids of one debug id. An upstream is asked for each until it has one.
MAX_OF_ONE: Final = 4
# Debug ids; they and the index take some 30 MB. The oldest is removed for a further one.
MAX_IDS: Final = 50_000
# Build ids of one request.
MAX_AT_ONCE: Final = 1000


def build_ids_key(debug_id: str) -> str:
    """Return the key of the build ids that a debug id may be the start of."""
    return f"known:builds:{debug_id}"


class BuildIds:
    """Build ids of 20 bytes, by the debug ids in them."""

    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._client = client
        self._guard = guard

    def note(self, build_ids: Sequence[str]) -> set[str]:
        """Keep build ids in hex. Return the debug ids for which one is new. Raises nothing."""
        pairs = [
            (debug_ids_of_code_id(some_id)[0], some_id.lower())
            for some_id in build_ids[:MAX_AT_ONCE]
            if len(some_id) == WHOLE_BUILD_ID
        ]
        if not pairs:
            return set()
        try:
            return self._note(dict(pairs))
        except Unavailable:
            return set()

    def find(self, debug_id: str) -> list[str]:
        """Return the build ids for a debug id, the last one first. Raises Unavailable."""
        values = cast("list[bytes]", self._guard.call(self._client.lrange, build_ids_key(debug_id), 0, -1))
        return [value.decode() for value in values]

    def _note(self, build_ids: dict[str, str]) -> set[str]:
        now = time.time()
        with self._client.pipeline() as pipeline:
            for debug_id, build_id in build_ids.items():
                key = build_ids_key(debug_id)
                pipeline.lrem(key, 0, build_id)
                pipeline.lpush(key, build_id)
                pipeline.ltrim(key, 0, MAX_OF_ONE - 1)
                pipeline.expire(key, SECONDS)
            pipeline.zadd(INDEX, dict.fromkeys(build_ids, now))
            pipeline.expire(INDEX, SECONDS)
            pipeline.zrange(INDEX, 0, -MAX_IDS - 1)
            pipeline.zremrangebyrank(INDEX, 0, -MAX_IDS - 1)
            results = self._guard.call(pipeline.execute)
        if oldest := results[-2]:
            with suppress(Unavailable):
                self._guard.call(self._client.unlink, *(build_ids_key(name.decode()) for name in oldest))
        return {debug_id for debug_id, removed in zip(build_ids, results[::4], strict=False) if not removed}

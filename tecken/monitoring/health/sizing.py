"""How large the store must be, by what it was asked lately: counted by a worker, kept on redis-cache."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

import redis

from tecken import wiring
from tecken.store.access_counts import recorded
from tecken.store.miss_ratio import Curve, Entries, curve, entries

KEY = "store:curve"
EVERY_SECONDS = 300.0  # as CELERY_BEAT_SCHEDULE has it
KEPT_SECONDS = 86_400
POINTS = 400
ENOUGH = 1000
"""Sampled accesses; a curve of fewer says little."""
RATIOS = (0.90, 0.95, 0.99)
ESTIMATES_OF_2014 = {0.95: 2_000_000_000, 0.99: 6_000_000_000}
"""Bytes; docs/redis.md says of what."""


class Sizing(NamedTuple):
    """`at` is in seconds since 1970. `needs` are bytes for each of RATIOS, None where no size will do."""

    at: float
    curve: Curve
    needs: tuple[int | None, ...]
    entries: Entries

    @property
    def enough(self) -> bool:
        return self.curve.sampled >= ENOUGH


def counted(client: redis.Redis) -> Sizing:
    """Takes a second for some 300,000 sampled accesses. Raises redis.RedisError."""
    chunks = recorded(client)
    whole = curve(chunks)
    needs = tuple(map(whole.size_for, RATIOS))
    return Sizing(time.time(), whole.thinned(POINTS), needs, entries(chunks))


def take() -> None:
    """Raises redis.RedisError."""
    client = wiring.counters_client()
    client.set(KEY, json.dumps(counted(client)), ex=KEPT_SECONDS)


def kept(client: redis.Redis) -> Sizing | None:
    """None until a worker has counted. Raises redis.RedisError."""
    raw: bytes | None = client.get(KEY)  # type: ignore[assignment]
    if raw is None:
        return None
    at, (sizes, ratios, accesses, sampled), needs, (keys, size, by_size) = json.loads(raw)
    return Sizing(
        at,
        Curve(tuple(sizes), tuple(ratios), accesses, sampled),
        tuple(needs),
        Entries(keys, size, tuple((top, count) for top, count in by_size)),
    )

"""Size that the store needs, from its recent accesses: computed by a worker and stored on redis-cache."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

import redis

from tecken.redisclient import services as redis_services
from tecken.store.access_counts import read_chunks
from tecken.store.miss_ratio import Entries, MissRatioCurve, curve, entries

KEY = "store:curve"
# The interval in CELERY_BEAT_SCHEDULE.
EVERY_SECONDS = 300.0
KEPT_SECONDS = 86_400
POINTS = 400
ENOUGH = 1000
"""Sampled accesses that a meaningful curve needs."""
RATIOS = (0.90, 0.95, 0.99)
ESTIMATES_OF_2014 = {0.95: 2_000_000_000, 0.99: 6_000_000_000}
"""Bytes for each hit ratio; docs/redis.md explains them."""


class Sizing(NamedTuple):
    """Miss-ratio curve at `at`, in seconds since 1970.

    `needs` are bytes for each of RATIOS, None for a ratio that no size reaches.
    """

    at: float
    curve: MissRatioCurve
    needs: tuple[int | None, ...]
    entries: Entries

    @property
    def enough(self) -> bool:
        """Return whether the curve has enough accesses to be meaningful."""
        return self.curve.sampled >= ENOUGH


def compute_sizing(client: redis.Redis) -> Sizing:
    """Compute the curve, in about a second for 300,000 sampled accesses. Raise redis.RedisError."""
    chunks = read_chunks(client)
    whole = curve(chunks)
    needs = tuple(map(whole.size_for, RATIOS))
    # The whole curve may have hundreds of thousands of points, and a chart is a few hundred pixels wide.
    return Sizing(time.time(), whole.thinned(POINTS), needs, entries(chunks))


def update_sizing() -> None:
    """Compute the sizing and store it. Raise redis.RedisError when redis-cache does not respond."""
    client = redis_services.counters_client()
    client.set(KEY, json.dumps(compute_sizing(client)), ex=KEPT_SECONDS)


def load_sizing(client: redis.Redis) -> Sizing | None:
    """Return the stored sizing; None until a worker has computed one. Raise redis.RedisError."""
    raw: bytes | None = client.get(KEY)  # type: ignore[assignment]
    if raw is None:
        return None
    at, (sizes, ratios, accesses, sampled), needs, (keys, size, by_size) = json.loads(raw)
    return Sizing(
        at,
        MissRatioCurve(tuple(sizes), tuple(ratios), accesses, sampled),
        tuple(needs),
        Entries(keys, size, tuple((top, count) for top, count in by_size)),
    )

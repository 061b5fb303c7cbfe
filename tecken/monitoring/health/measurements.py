"""Measurements that workers take: samples of servers and queue, and the size that the store needs.

Samples of both Redis servers and the queue over the last day are for charts. The size that the store needs is
computed from its recent accesses and stored on redis-cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import redis

from tecken.jobs.records import Queue, backlog
from tecken.monitoring.preflight.rules import fetch_facts
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.access_counts import read_chunks
from tecken.store.miss_ratio import Entries, MissRatioCurve, curve, entries

SERIES_KEY = "health:series"
# The interval in CELERY_BEAT_SCHEDULE.
EVERY_SECONDS = 30.0
# A day.
KEPT = 2880
VERSIONS = ("v4", "v5")
# Beat sends a canary into each queue every 15 seconds.
CANARY_COUNTS_SECONDS = 60.0


class ServerSample(NamedTuple):
    """Sample of one server. Sizes are bytes; the last three values count since it started."""

    used: int
    maxmemory: int
    clients: int
    hits: int
    misses: int
    evicted: int


class Sample(NamedTuple):
    """Sample of the site at `at`, in seconds since 1970. An unknown value is None.

    `requests` are symbolication requests of that day; `canary` is how long a job waits in the slowest queue.
    """

    at: float
    cache: ServerSample | None
    store: ServerSample | None
    requests: int | None
    queued: int | None
    canary: float | None = None


class Rate(NamedTuple):
    """Rates between two samples, at the time of the later one: per second, except `hit_ratio`."""

    at: float
    hit_ratio: float | None
    evictions: float | None
    requests: float | None


def take_sample() -> None:
    """Store a sample.

    Raises:
        redis.RedisError: It cannot be stored.
    """
    servers = _sample_server(redis_services.cache_client()), _sample_server(store_services.store_client())
    row = json.dumps([time.time(), *servers, _count_requests(), *_sample_queue()])
    with redis_services.counters_client().pipeline(transaction=False) as pipeline:
        pipeline.rpush(SERIES_KEY, row)
        # The list has no expiry, so each sample drops the oldest one.
        pipeline.ltrim(SERIES_KEY, -KEPT, -1)
        pipeline.execute()


def _sample_server(client: redis.Redis) -> ServerSample | None:
    try:
        facts = fetch_facts(client)
    except (redis.RedisError, OSError):
        return None
    return ServerSample(
        facts.used_memory, facts.maxmemory, facts.clients, facts.hits, facts.misses, facts.evicted
    )


def _count_requests() -> int | None:
    # The keys of tecken.limits.usage.
    today = time.strftime("%Y%m%d", time.gmtime())
    try:
        counts = redis_services.counters_client().mget(
            [f"symbolicationcount:{version}:{today}" for version in VERSIONS]
        )
    except redis.RedisError:
        return None
    return sum(int(count or 0) for count in counts)


def _sample_queue() -> tuple[int | None, float | None]:
    """Return the number of jobs and how long they wait."""
    try:
        jobs = backlog(redis_services.queue_client())
    except redis.RedisError:
        return None, None
    waits = [wait for queue in jobs.queues if (wait := _fresh_canary(queue)) is not None]
    return jobs.depth, max(waits, default=None)


def _fresh_canary(queue: Queue) -> float | None:
    """Return how long the last canary waited; None when it is too old to describe the present."""
    is_fresh = queue.canary_age is not None and queue.canary_age <= CANARY_COUNTS_SECONDS
    return queue.canary_seconds if is_fresh else None


def load_samples(client: redis.Redis, most: int = KEPT) -> list[Sample]:
    """Return the last `most` samples, oldest first. Raise redis.RedisError when they cannot be read."""
    rows: list[bytes] = client.lrange(SERIES_KEY, -most, -1)  # type: ignore[assignment]
    return [_parse_sample(*json.loads(row)) for row in rows]


def _parse_sample(at: float, cache: list[int] | None, store: list[int] | None, *counted: Any) -> Sample:
    return Sample(
        at, ServerSample(*cache) if cache else None, ServerSample(*store) if store else None, *counted
    )


def compute_rates(samples: Sequence[Sample]) -> Iterator[Rate]:
    """Yield the rates of the store. There is none where a counter begins again, at a restart or a new day."""
    for earlier, later in pairwise(samples):
        # Two samples that were taken at nearly the same time would make a peak that never happened.
        seconds = max(1.0, later.at - earlier.at)
        yield Rate(
            later.at,
            *_store_rates(earlier.store, later.store, seconds),
            _per(earlier.requests, later.requests, seconds),
        )


def _store_rates(
    earlier: ServerSample | None, later: ServerSample | None, seconds: float
) -> tuple[float | None, float | None]:
    if not earlier or not later or later.hits < earlier.hits:
        return None, None
    hits, misses = later.hits - earlier.hits, later.misses - earlier.misses
    ratio = hits / (hits + misses) if hits + misses else None
    return ratio, _per(earlier.evicted, later.evicted, seconds)


def _per(earlier: int | None, later: int | None, seconds: float) -> float | None:
    if earlier is None or later is None or later < earlier:
        return None
    return (later - earlier) / seconds


# Size of the store

SIZING_KEY = "store:curve"
# The interval in CELERY_BEAT_SCHEDULE.
SIZE_EVERY_SECONDS = 300.0
SIZE_KEPT_SECONDS = 86_400
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
    client.set(SIZING_KEY, json.dumps(compute_sizing(client)), ex=SIZE_KEPT_SECONDS)


def load_sizing(client: redis.Redis) -> Sizing | None:
    """Return the stored sizing; None until a worker has computed one. Raise redis.RedisError."""
    raw: bytes | None = client.get(SIZING_KEY)  # type: ignore[assignment]
    if raw is None:
        return None
    at, (sizes, ratios, accesses, sampled), needs, (keys, size, by_size) = json.loads(raw)
    return Sizing(
        at,
        MissRatioCurve(tuple(sizes), tuple(ratios), accesses, sampled),
        tuple(needs),
        Entries(keys, size, tuple((top, count) for top, count in by_size)),
    )

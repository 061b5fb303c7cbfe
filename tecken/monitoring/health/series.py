"""How both Redis servers and the queue were in the last day: what the pictures are drawn from."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import redis

from tecken import wiring
from tecken.jobs.backlog import Queue, backlog
from tecken.monitoring.preflight.facts import Facts, fetch_facts

KEY = "health:series"
EVERY_SECONDS = 30.0  # as CELERY_BEAT_SCHEDULE has it
KEPT = 2880  # a day
VERSIONS = ("v4", "v5")
CANARY_COUNTS_SECONDS = 60.0  # beat sends one into each queue every 15


class Told(NamedTuple):
    """By one server. Sizes are bytes; the last three count since its start."""

    used: int
    maxmemory: int
    clients: int
    hits: int
    misses: int
    evicted: int


class Sample(NamedTuple):
    """`at` is in seconds since 1970, `requests` are symbolication's of that day, `canary` is for how many
    seconds a job waits in the slowest queue. None: nobody could tell."""

    at: float
    cache: Told | None
    store: Told | None
    requests: int | None
    queued: int | None
    canary: float | None = None


class Rate(NamedTuple):
    """Between two samples, at the time of the later one. Per second, but for `hit_ratio`."""

    at: float
    hit_ratio: float | None
    evictions: float | None
    requests: float | None


def take() -> None:
    """Raises redis.RedisError when it cannot be kept."""
    servers = _told(wiring.cache_client()), _told(wiring.store_client())
    row = json.dumps([time.time(), *servers, _requests(), *_queued()])
    with wiring.counters_client().pipeline(transaction=False) as pipeline:
        pipeline.rpush(KEY, row)
        pipeline.ltrim(KEY, -KEPT, -1)
        pipeline.execute()


def _told(client: redis.Redis) -> Told | None:
    try:
        found: Facts = fetch_facts(client)
    except (redis.RedisError, OSError):
        return None
    return Told(found.used_memory, found.maxmemory, found.clients, found.hits, found.misses, found.evicted)


def _requests() -> int | None:
    """The keys are those of tecken.limits.usage."""
    today = time.strftime("%Y%m%d", time.gmtime())
    try:
        counts = wiring.counters_client().mget(
            [f"symbolicationcount:{version}:{today}" for version in VERSIONS]
        )
    except redis.RedisError:
        return None
    return sum(int(count or 0) for count in counts)


def _queued() -> tuple[int | None, float | None]:
    """How many, and how long they wait."""
    try:
        now = backlog(wiring.queue_client())
    except redis.RedisError:
        return None, None
    waits = [wait for queue in now.queues if (wait := _canary(queue)) is not None]
    return now.depth, max(waits, default=None)


def _canary(queue: Queue) -> float | None:
    """None when none has come through lately: an old one says nothing of now."""
    fresh = queue.canary_age is not None and queue.canary_age <= CANARY_COUNTS_SECONDS
    return queue.canary_seconds if fresh else None


def samples(client: redis.Redis, most: int = KEPT) -> list[Sample]:
    """Oldest first. Raises redis.RedisError."""
    rows: list[bytes] = client.lrange(KEY, -most, -1)  # type: ignore[assignment]
    return [_sample(*json.loads(row)) for row in rows]


def _sample(at: float, cache: list[int] | None, store: list[int] | None, *counted: Any) -> Sample:
    return Sample(at, Told(*cache) if cache else None, Told(*store) if store else None, *counted)


def rates(taken: Sequence[Sample]) -> Iterator[Rate]:
    """Of the store. What counts from a new start (of the server, of a day) has no rate there."""
    for earlier, later in pairwise(taken):
        seconds = max(1.0, later.at - earlier.at)
        yield Rate(
            later.at,
            *_of_store(earlier.store, later.store, seconds),
            _per(earlier.requests, later.requests, seconds),
        )


def _of_store(earlier: Told | None, later: Told | None, seconds: float) -> tuple[float | None, float | None]:
    if not earlier or not later or later.hits < earlier.hits:
        return None, None
    hits, misses = later.hits - earlier.hits, later.misses - earlier.misses
    ratio = hits / (hits + misses) if hits + misses else None
    return ratio, _per(earlier.evicted, later.evicted, seconds)


def _per(earlier: int | None, later: int | None, seconds: float) -> float | None:
    if earlier is None or later is None or later < earlier:
        return None
    return (later - earlier) / seconds

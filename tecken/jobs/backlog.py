"""What is to be done, what is being done, and who is there to do it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from tecken.jobs import keys

ALIVE_SECONDS = 20.0
"""A worker that was not heard of for longer is taken for gone; it says every 5 seconds that it is there."""


class Queue(NamedTuple):
    """`ready` jobs wait for a worker, `by_priority` of 0 (first), 3, 6 and 9. What is next has waited for
    `oldest_seconds`. The last canary job waited for `canary_seconds`, and ended `canary_age` ago."""

    name: str
    ready: int
    by_priority: dict[int, int]
    oldest_seconds: float | None
    canary_seconds: float | None
    canary_age: float | None


class Worker(NamedTuple):
    """`heard` seconds ago it said that it is there, has `held` jobs, and of those `running`."""

    name: str
    heard: float
    queues: tuple[str, ...]
    held: int
    running: int

    @property
    def alive(self) -> bool:
        return self.heard <= ALIVE_SECONDS


class Backlog(NamedTuple):
    """`unacknowledged` jobs are with a worker: they run, or wait there for a process or for their time.

    `scheduled` ones, waiting or unacknowledged, were sent by beat. `beat`: one is running.
    """

    queues: tuple[Queue, ...]
    unacknowledged: int
    oldest_unacknowledged_seconds: float | None
    workers: tuple[Worker, ...]
    dead: int
    scheduled: int
    beat: bool

    @property
    def depth(self) -> int:
        """Return the number of jobs to be done, without scheduled ones.

        Those come and end several times a minute, and the job that takes the samples for the charts is one of
        them: it would always count itself.
        """
        jobs = sum(queue.ready for queue in self.queues) + self.unacknowledged
        # Records of jobs whose messages were deleted by hand stay for up to an hour.
        return max(0, jobs - self.scheduled)


def backlog(client: redis.Redis) -> Backlog:
    """`client` is of the queue's database. One round trip; raises redis.RedisError."""
    asked = client.pipeline(transaction=False)
    asked.time()
    asked.hlen(keys.UNACKED)
    asked.zrange(keys.UNACKED_INDEX, 0, 0, withscores=True)
    asked.hgetall(keys.WORKERS)
    asked.hgetall(keys.CANARIES)
    asked.hlen(keys.DEAD)
    asked.zcard(keys.SCHEDULED)
    asked.exists(keys.BEAT)
    for queue in keys.QUEUES:
        for priority in keys.PRIORITIES:
            asked.llen(keys.waiting(queue, priority))
            asked.lindex(keys.waiting(queue, priority), -1)
    (seconds, micros), unacked, first, workers, canaries, dead, scheduled, beat, *lists = asked.execute()
    now = seconds + micros / 1e6
    each = 2 * len(keys.PRIORITIES)
    told = [lists[i : i + each] for i in range(0, len(lists), each)]
    return Backlog(
        queues=tuple(
            _queue(name, its, canaries.get(name.encode()), now)
            for name, its in zip(keys.QUEUES, told, strict=True)
        ),
        unacknowledged=unacked,
        oldest_unacknowledged_seconds=max(0.0, now - first[0][1]) if first else None,
        workers=tuple(sorted(_workers(workers, now))),
        dead=dead,
        scheduled=scheduled,
        beat=bool(beat),
    )


def _queue(name: str, told: list[Any], canary: bytes | None, now: float) -> Queue:
    lengths = dict(zip(keys.PRIORITIES, told[::2], strict=True))
    sent = [at for message in told[1::2] if message and (at := sent_at(message)) is not None]
    waited, ended = (float(part) for part in canary.split()) if canary else (None, None)
    return Queue(
        name=name,
        ready=sum(lengths.values()),
        by_priority=lengths,
        oldest_seconds=max(0.0, now - min(sent)) if sent else None,
        canary_seconds=waited,
        canary_age=None if ended is None else max(0.0, now - ended),
    )


def sent_at(message: bytes) -> float | None:
    """When the job was sent, in seconds since 1970; None of one that does not say."""
    try:
        return float(json.loads(message)["headers"]["sent"])
    except (ValueError, KeyError, TypeError):
        return None


def _workers(told: dict[bytes, bytes], now: float) -> Iterator[Worker]:
    for name, document in told.items():
        said = json.loads(document)
        heard = max(0.0, now - said["at"])
        yield Worker(name.decode(), heard, tuple(said["queues"]), said["held"], said["running"])

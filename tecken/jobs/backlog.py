"""State of the queues and their workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from tecken.jobs import keys
from tecken.queues import QUEUES

ALIVE_SECONDS = 20.0
"""A worker without a heartbeat for longer counts as silent; it sends one every 5 seconds."""


class Queue(NamedTuple):
    """A queue's jobs: `ready` wait for a worker, `by_priority` 0 (first), 3, 6 and 9.

    The oldest of those that are next has waited for `oldest_seconds`. The last canary job waited for
    `canary_seconds`, and ended `canary_age` seconds ago.
    """

    name: str
    ready: int
    by_priority: dict[int, int]
    oldest_seconds: float | None
    canary_seconds: float | None
    canary_age: float | None


class Worker(NamedTuple):
    """A worker that sent a heartbeat `heard` seconds ago, has `held` jobs, and runs `running` of them."""

    name: str
    heard: float
    queues: tuple[str, ...]
    held: int
    running: int

    @property
    def alive(self) -> bool:
        """Return whether its last heartbeat is recent."""
        return self.heard <= ALIVE_SECONDS


class Backlog(NamedTuple):
    """State of all queues, and of the jobs that have left them.

    A worker has the `unacknowledged` jobs: they run, or wait there for a process or for their time. Beat has
    sent the `scheduled` ones, waiting or unacknowledged. `beat` is whether one runs.
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

        Those are sent several times a minute, and the job that takes the samples for the charts is one of
        them: it would always count itself.
        """
        jobs = sum(queue.ready for queue in self.queues) + self.unacknowledged
        # Records of jobs whose messages were deleted by hand stay for up to an hour.
        return max(0, jobs - self.scheduled)


def backlog(client: redis.Redis) -> Backlog:
    """Return the state of all queues in one round trip. Raises redis.RedisError.

    `client` is connected to the queue's database.
    """
    # No transaction: these are figures for people, and a transaction would stop the server's other clients.
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.hlen(keys.UNACKED)
    pipe.zrange(keys.UNACKED_INDEX, 0, 0, withscores=True)
    pipe.hgetall(keys.WORKERS)
    pipe.hgetall(keys.CANARIES)
    pipe.hlen(keys.DEAD)
    pipe.zcard(keys.SCHEDULED)
    pipe.exists(keys.BEAT)
    for queue in QUEUES:
        for priority in keys.PRIORITIES:
            pipe.llen(keys.waiting(queue, priority))
            # Jobs are taken from the right, so the last element is the oldest.
            pipe.lindex(keys.waiting(queue, priority), -1)
    (seconds, micros), unacked, first, workers, canaries, dead, scheduled, beat, *lists = pipe.execute()
    now = seconds + micros / 1e6
    per_queue = 2 * len(keys.PRIORITIES)
    replies = [lists[i : i + per_queue] for i in range(0, len(lists), per_queue)]
    return Backlog(
        queues=tuple(
            _queue(name, its_replies, canaries.get(name.encode()), now)
            for name, its_replies in zip(QUEUES, replies, strict=True)
        ),
        unacknowledged=unacked,
        oldest_unacknowledged_seconds=max(0.0, now - first[0][1]) if first else None,
        workers=tuple(sorted(_workers(workers, now))),
        dead=dead,
        scheduled=scheduled,
        beat=bool(beat),
    )


def _queue(name: str, replies: list[Any], canary: bytes | None, now: float) -> Queue:
    lengths = dict(zip(keys.PRIORITIES, replies[::2], strict=True))
    sent = [at for message in replies[1::2] if message and (at := sent_at(message)) is not None]
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
    """Return when the job was sent, in seconds since 1970; None when its message has no time."""
    try:
        return float(json.loads(message)["headers"]["sent"])
    except (ValueError, KeyError, TypeError):
        return None


def _workers(documents: dict[bytes, bytes], now: float) -> Iterator[Worker]:
    for name, document in documents.items():
        beat = json.loads(document)
        heard = max(0.0, now - beat["at"])
        yield Worker(name.decode(), heard, tuple(beat["queues"]), beat["held"], beat["running"])

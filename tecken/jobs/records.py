"""Records about jobs besides their messages: unfinished starts, dead letters, scheduled jobs and canaries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import redis

from tecken import services
from tecken.jobs import keys
from tecken.redisclient import services as redis_services

START_KEPT_DAYS = 7
"""A job that has not ended by then has lost its message: one that has a message returns much earlier."""

# No scheduled job expires later (CELERY_BEAT_SCHEDULE).
LONGEST_EXPIRY_SECONDS = 3600


@dataclass(frozen=True)
class DeadLetter:
    """A job that does not run again unless an operator retries it. Times are in seconds since 1970."""

    id: str
    task: str
    queue: str
    why: str
    died: float
    args: list[Any] | None = None
    """None for a message that cannot be read."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    sent: float | None = None
    starts: int = 0
    retries: int = 0
    trace: str = ""


class Records:
    """Records in the queue's database. Every method raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, job: str) -> int:
        """Count a start of a job, and return how many of its starts have no end, this one included."""
        pipe = self._client.pipeline()
        pipe.hincrby(keys.STARTS, job, 1)
        pipe.zadd(keys.STARTED, {job: time.time()})
        return int(pipe.execute()[0])

    def end(self, job: str) -> None:
        """Remove the records of a job that has ended as it should."""
        pipe = self._client.pipeline()
        self._remove(pipe, [job])
        # Another start of the job may have made it a dead letter meanwhile.
        pipe.hdel(keys.DEAD, job)
        pipe.execute()

    def store_letter(self, letter: DeadLetter) -> None:
        """Store a dead letter, and remove the other records of its job."""
        pipe = self._client.pipeline()
        pipe.hset(keys.DEAD, letter.id, json.dumps(asdict(letter), default=repr))
        self._remove(pipe, [letter.id])
        pipe.execute()

    def letters(self, most: int | None = None) -> list[DeadLetter]:
        """Return dead letters, newest first: any `most` of them where there are more."""
        documents = self._client.hscan_iter(keys.DEAD, count=1000)
        letters = [_letter(document) for _, document in islice(documents, most)]
        return sorted(letters, key=lambda letter: -letter.died)

    def letter(self, job: str) -> DeadLetter | None:
        """Return the dead letter of a job."""
        document = self._client.hget(keys.DEAD, job)
        return _letter(document) if document else None

    def drop(self, jobs: Iterable[str]) -> int:
        """Remove dead letters, and return how many there were."""
        ids = list(jobs)
        return int(self._client.hdel(keys.DEAD, *ids)) if ids else 0

    def schedule(self, job: str) -> None:
        """Record a job that beat sends, which no client waits for."""
        self._client.zadd(keys.SCHEDULED, {job: time.time()})

    def canary(self, queue: str, waited: float) -> None:
        """Record the newest canary of this queue, which waited for so many seconds.

        The time is the server's: those who read it may run on a host with another clock.
        """
        seconds, micros = self._client.time()
        self._client.hset(keys.CANARIES, queue, f"{waited} {seconds + micros / 1e6}")

    def clean(self) -> None:
        """Remove records of jobs that were lost with their message, because the queue was emptied by hand."""
        self._client.zremrangebyscore(keys.SCHEDULED, "-inf", time.time() - LONGEST_EXPIRY_SECONDS)
        old = time.time() - START_KEPT_DAYS * 86_400
        jobs = self._client.zrangebyscore(keys.STARTED, "-inf", old)
        if jobs:
            pipe = self._client.pipeline()
            self._remove(pipe, jobs)
            pipe.execute()

    def _remove(self, pipe: Any, jobs: Any) -> None:
        pipe.hdel(keys.STARTS, *jobs)
        pipe.zrem(keys.STARTED, *jobs)
        pipe.zrem(keys.SCHEDULED, *jobs)


def _letter(document: bytes | str) -> DeadLetter:
    return DeadLetter(**json.loads(document))


@services.per_process
def records() -> Records:
    """Return this process's records."""
    return Records(redis_services.queue_client())

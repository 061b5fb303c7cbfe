"""What is remembered of jobs besides their messages: starts of those that have not ended; dead letters."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import redis

from tecken import wiring
from tecken.jobs import keys

FORGOTTEN_DAYS = 7
"""A job that was started and never ended comes back long before, or never."""

# No scheduled job expires later (CELERY_BEAT_SCHEDULE).
LONGEST_EXPIRY_SECONDS = 3600


@dataclass(frozen=True)
class Letter:
    """A job that nothing will run again unless somebody asks. Times are in seconds since 1970."""

    id: str
    task: str
    queue: str
    why: str
    died: float
    args: list[Any] | None = None
    """None of a message that cannot be read."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    sent: float | None = None
    starts: int = 0
    retries: int = 0
    trace: str = ""


class Records:
    """All of it raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, job: str) -> int:
        """How often it was started, now included, without an end."""
        done = self._client.pipeline()
        done.hincrby(keys.STARTS, job, 1)
        done.zadd(keys.STARTED, {job: time.time()})
        return int(done.execute()[0])

    def end(self, job: str) -> None:
        """It has ended as it should: nothing is remembered."""
        done = self._client.pipeline()
        self._forget(done, [job])
        done.hdel(keys.DEAD, job)  # another start of it was given up meanwhile
        done.execute()

    def bury(self, letter: Letter) -> None:
        """Its job has ended, and is a dead letter."""
        done = self._client.pipeline()
        done.hset(keys.DEAD, letter.id, json.dumps(asdict(letter), default=repr))
        self._forget(done, [letter.id])
        done.execute()

    def letters(self, most: int | None = None) -> list[Letter]:
        """Newest first. Where there are more than `most`: of any so many."""
        every = self._client.hscan_iter(keys.DEAD, count=1000)
        found = [_letter(document) for _, document in islice(every, most)]
        return sorted(found, key=lambda letter: -letter.died)

    def letter(self, job: str) -> Letter | None:
        document = self._client.hget(keys.DEAD, job)
        return _letter(document) if document else None

    def drop(self, jobs: Iterable[str]) -> int:
        """How many of them were dead letters."""
        ids = list(jobs)
        return int(self._client.hdel(keys.DEAD, *ids)) if ids else 0

    def schedule(self, job: str) -> None:
        """Record a job that beat sends, which nobody waits for."""
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
        old = time.time() - FORGOTTEN_DAYS * 86_400
        jobs = self._client.zrangebyscore(keys.STARTED, "-inf", old)
        if jobs:
            done = self._client.pipeline()
            self._forget(done, jobs)
            done.execute()

    def _forget(self, done: Any, jobs: Any) -> None:
        done.hdel(keys.STARTS, *jobs)
        done.zrem(keys.STARTED, *jobs)
        done.zrem(keys.SCHEDULED, *jobs)


def _letter(document: bytes | str) -> Letter:
    return Letter(**json.loads(document))


@wiring.once
def records() -> Records:
    return Records(wiring.queue_client())

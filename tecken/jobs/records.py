"""What is remembered of jobs besides their messages: starts of those that have not ended; dead letters."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import redis
from django.conf import settings

from tecken import redisclient, wiring
from tecken.jobs import keys

FORGOTTEN_DAYS = 7
"""A job that was started and never ended comes back long before, or never."""


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


class Records(Protocol):
    def begin(self, job: str) -> int:
        """How often it was started, now included, without an end."""
        ...

    def end(self, job: str) -> None:
        """It has ended as it should: nothing is remembered."""
        ...

    def bury(self, letter: Letter) -> None:
        """Its job has ended, and is a dead letter."""
        ...

    def letters(self) -> list[Letter]:
        """Newest first."""
        ...

    def letter(self, job: str) -> Letter | None: ...

    def drop(self, jobs: Iterable[str]) -> int:
        """How many of them were dead letters."""
        ...

    def clean(self) -> None:
        """Forgets starts of jobs that were lost with their message: the queue was emptied by hand."""
        ...


class RedisRecords:
    """All of it raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, job: str) -> int:
        done = self._client.pipeline()
        done.hincrby(keys.STARTS, job, 1)
        done.zadd(keys.STARTED, {job: time.time()})
        return int(done.execute()[0])

    def end(self, job: str) -> None:
        done = self._client.pipeline()
        self._forget(done, [job])
        done.hdel(keys.DEAD, job)  # it was started a second time, and the first one has ended well
        done.execute()

    def bury(self, letter: Letter) -> None:
        done = self._client.pipeline()
        done.hset(keys.DEAD, letter.id, json.dumps(asdict(letter), default=repr))
        self._forget(done, [letter.id])
        done.execute()

    def letters(self) -> list[Letter]:
        found = [_letter(document) for _, document in self._client.hscan_iter(keys.DEAD, count=1000)]
        return sorted(found, key=lambda letter: -letter.died)

    def letter(self, job: str) -> Letter | None:
        document = self._client.hget(keys.DEAD, job)
        return _letter(document) if document else None

    def drop(self, jobs: Iterable[str]) -> int:
        ids = list(jobs)
        return int(self._client.hdel(keys.DEAD, *ids)) if ids else 0

    def clean(self) -> None:
        old = time.time() - FORGOTTEN_DAYS * 86_400
        jobs = self._client.zrangebyscore(keys.STARTED, "-inf", old)
        if jobs:
            done = self._client.pipeline()
            self._forget(done, jobs)
            done.execute()

    def _forget(self, done: Any, jobs: Any) -> None:
        done.hdel(keys.STARTS, *jobs)
        done.zrem(keys.STARTED, *jobs)


def _letter(document: bytes | str) -> Letter:
    return Letter(**json.loads(document))


@wiring.once
def queue_client() -> redis.Redis:
    return redisclient.client(
        settings.REDIS_QUEUE_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )


@wiring.once
def records() -> Records:
    return RedisRecords(queue_client())

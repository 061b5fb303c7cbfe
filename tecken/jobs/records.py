"""Records about jobs besides their messages, and the state of the queues and their workers.

They are of unfinished starts, dead letters, scheduled jobs and canaries. Dead letters are made of unreadable
messages, too, and can be sent again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import redis
from celery import current_app
from django.conf import settings
from dockerflow.version import get_version
from kombu.exceptions import KombuError

from tecken import __version__, services
from tecken.errors import InvalidInput, Unavailable
from tecken.jobs import keys
from tecken.jobs.keys import QUEUES
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


# Dead letters


def build_letter(message: Any, why: str) -> DeadLetter:
    """Return the dead letter of a message of kombu that is not a valid job."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    args, kwargs = _arguments(message)
    return DeadLetter(
        id=str(headers.get("id") or message.delivery_tag),
        task=str(headers.get("task") or "unknown"),
        queue=message.delivery_info.get("routing_key") or "",
        why=why if args is not None else f"{why}: {message.body!r:.1000}",
        died=time.time(),
        args=args,
        kwargs=kwargs,
        sent=headers.get("sent"),
    )


def _arguments(message: Any) -> tuple[list[Any] | None, dict[str, Any]]:
    try:
        args, kwargs, _ = message.decode()
        return list(args), dict(kwargs)
    except (KombuError, ValueError, TypeError):
        return None, {}


def send_again(letter: DeadLetter, records: Records) -> None:
    """Send a job under the same id into its task's current queue, without an expiry.

    The letter is dropped last, so a crash leaves the job in the queue and among the dead letters. Raises
    InvalidInput, Unavailable.
    """
    if letter.args is None:
        raise InvalidInput(f"{letter.id}: its message cannot be read, so it cannot be sent")
    try:
        current_app.send_task(
            letter.task, args=letter.args, kwargs=letter.kwargs, task_id=letter.id, retry=False
        )
    except (KombuError, OSError) as error:
        raise Unavailable("the queue does not answer") from error
    records.drop([letter.id])


# Queues and workers

# Other workers restore the jobs of a lost one after 30 seconds.
RETURNED_SECONDS = 60.0
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
    """A worker that sent a heartbeat `heard` seconds ago, has `held` jobs, and runs `running` of them.

    `version` is that of its code; empty for a worker of an older release.
    """

    name: str
    heard: float
    queues: tuple[str, ...]
    held: int
    running: int
    version: str = ""

    @property
    def alive(self) -> bool:
        """Return whether its last heartbeat is recent."""
        return self.heard <= ALIVE_SECONDS

    @property
    def may_have_lost_jobs(self) -> bool:
        """Return whether jobs that it had may still be on their way back to their queues."""
        return not self.alive and self.held > 0 and self.heard <= RETURNED_SECONDS


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
        queues, version = tuple(beat["queues"]), beat.get("version", "")
        yield Worker(name.decode(), heard, queues, beat["held"], beat["running"], version)


@cache
def code_version() -> str:
    """Return the version and the commit of the code that this process runs, as `/__version__` has them."""
    document = get_version(settings.BASE_DIR) or {}
    return " ".join(filter(None, (document.get("version", __version__), document.get("commit", "")[:12])))

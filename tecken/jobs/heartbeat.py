"""A worker says that it is there and which jobs it has; jobs of one that went silent are given to others.

By itself, kombu would give them back only after the visibility timeout, which has to be above the longest
job. All times are the server's, and nobody judges others before it has been heard itself for as long: after
the server was away, all are silent at once.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, NamedTuple

import redis
from celery.bootsteps import StartStopStep
from celery.worker import state

from tecken import wiring
from tecken.jobs import keys

logger = logging.getLogger(__name__)
EVERY_SECONDS = 5.0
LOST_SECONDS = 30.0
"""A job of which no worker has said for so long that it has it is lost with its worker."""
FORGOTTEN_SECONDS = 600.0
"""Until then one can see which worker is missing."""


class Said(NamedTuple):
    """`tags` are the delivery tags of the jobs that a worker has."""

    queues: list[str]
    tags: set[str]
    running: int


class Heart:
    """`look` tells what there is to say, `restore` puts one job back into its queue by its delivery tag."""

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        look: Callable[[], Said],
        restore: Callable[[str], None],
        clock: Callable[[redis.Redis], float] | None = None,
    ) -> None:
        self._client, self._name = client, name
        self._look, self._restore = look, restore
        self._clock = clock or _now
        self._heard_since: float | None = None

    def beat(self) -> None:
        """Raises redis.RedisError."""
        try:
            now = self._clock(self._client)
            self._say(now)
        except redis.RedisError:
            self._heard_since = None
            raise
        self._heard_since = now if self._heard_since is None else self._heard_since
        self._judge(now)

    def stop(self) -> None:
        """Raises redis.RedisError."""
        self._client.hdel(keys.WORKERS, self._name)

    def _say(self, now: float) -> None:
        said = self._look()
        document = {"at": now, "queues": said.queues, "held": len(said.tags), "running": said.running}
        done = self._client.pipeline()
        done.hset(keys.WORKERS, self._name, json.dumps(document))
        if said.tags:
            done.zadd(keys.HELD, dict.fromkeys(said.tags, now))
        done.execute()

    def _judge(self, now: float) -> None:
        there = _texts(self._client.zrange(keys.UNACKED_INDEX, 0, -1))
        if there:
            self._client.zadd(keys.HELD, dict.fromkeys(there, now), nx=True)  # seen for the first time
        if self._heard_since is None or now - self._heard_since < LOST_SECONDS:
            return
        silent = _texts(self._client.zrangebyscore(keys.HELD, "-inf", now - LOST_SECONDS))
        for tag in set(silent) & set(there):
            logger.warning("Job %s is lost with its worker, and goes back to its queue", tag)
            self._restore(tag)
        if silent:
            self._client.zrem(keys.HELD, *silent)
        self._forget_workers(now)

    def _forget_workers(self, now: float) -> None:
        workers = self._client.hgetall(keys.WORKERS).items()
        gone = [name for name, document in workers if json.loads(document)["at"] < now - FORGOTTEN_SECONDS]
        if gone:
            self._client.hdel(keys.WORKERS, *gone)


def _texts(members: Any) -> list[str]:
    return [member.decode() for member in members]


def _now(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


class Heartbeat(StartStopStep):  # type: ignore[misc]
    """A thread of the main process, since the event loop stands still while a job of the solo pool runs."""

    requires = ("celery.worker.components:Pool",)  # which forks before there is a thread

    def __init__(self, worker: Any, **options: object) -> None:
        super().__init__(worker, **options)
        self._over = Event()
        self._thread: Thread | None = None

    def include_if(self, worker: Any) -> bool:
        with worker.app.connection_for_read() as connection:
            return bool(connection.transport.driver_type == "redis")

    def start(self, worker: Any) -> None:
        name = f"{worker.hostname} {os.getpid()}"
        heart = Heart(wiring.queue_client(), name, lambda: look(worker), lambda tag: restore(worker.app, tag))
        self._thread = Thread(target=self._run, args=[heart], name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self, _worker: Any) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    terminate = stop

    def _run(self, heart: Heart) -> None:
        while True:
            self._try(heart.beat)
            if self._over.wait(EVERY_SECONDS):
                return self._try(heart.stop)

    def _try(self, what: Callable[[], None]) -> None:
        try:
            what()
        except redis.RedisError as error:
            logger.warning("The heartbeat is not heard: %s", type(error).__name__)
        except Exception:
            logger.exception("The heartbeat stumbled")


def look(worker: Any) -> Said:
    consumer = getattr(getattr(worker, "consumer", None), "task_consumer", None)
    queues = [queue.name for queue in consumer.queues] if consumer else []
    running = _all(lambda: state.active_requests)
    tags = {request.message.delivery_tag for request in running}  # also of a connection that was lost
    if consumer:
        tags.update(_all(lambda: consumer.channel.qos._delivered))
    return Said(sorted(queues), tags, len(running))


def _all(things: Callable[[], Any]) -> list[Any]:
    """Of what another thread may change meanwhile."""
    while True:
        try:
            return list(things())
        except RuntimeError:
            continue


def restore(app: Any, tag: str) -> None:
    with app.connection_for_write() as connection:
        connection.default_channel.qos.restore_by_tag(tag)

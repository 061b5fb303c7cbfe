"""Parts of a worker: its consumer, its heartbeat, and the return of jobs whose worker has none any more.

The consumer reconnects quickly, and pauses while the whole site is under maintenance. Then no job starts and
none is lost. A worker cancels its queues and consumes from them again afterwards. Messages that it has
already, because they were fetched just before or wait for their time (ETA) or for a free process, return to
their queue. A job that runs ends as usual. The worker still answers `celery inspect`, and a lost connection
does not end the pause.

Each worker records every few seconds that it runs and which jobs it has. Jobs that no worker has recorded for
a while return to their queue. kombu's own means, the visibility timeout, has to be longer than the longest
job.

All times are the server's. After a failure of the server no worker has a recent heartbeat, so a worker
restores jobs only when its own heartbeats have succeeded for LOST_SECONDS: all others had the time to
record theirs. Otherwise every running job would start a second time after each failure.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Any, NamedTuple

import redis
from celery.bootsteps import StartStopStep
from celery.worker import consumer, state
from celery.worker.request import Request
from celery.worker.state import task_ready

from tecken.jobs import keys
from tecken.jobs.records import code_version
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current

logger = logging.getLogger(__name__)
RECONNECT_SECONDS = 1.0
# A check reads memory only.
PAUSE_CHECK_SECONDS = 0.25

_paused_queues: set[str] = set()
"""Queues that this process has cancelled."""


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Consumer that tries each second to reach a queue that it has lost.

    Celery would try after 2, 4, 6 and in the end every 30 seconds, so that a short failure of the server
    delayed jobs by half a minute.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, with one attempt in each second."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=RECONNECT_SECONDS,
            interval_step=0,
            interval_max=RECONNECT_SECONDS,
        )
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log the error, and wait before the next attempt.

        A server that answers but takes no writes accepts the connection at once, so Celery would try a
        hundred times a second, with a line of the log each time.
        """
        super().on_connection_error_before_connected(exc)
        time.sleep(RECONNECT_SECONDS)


class Pause(StartStopStep):  # type: ignore[misc]
    """Step of the consumer that cancels its queues under maintenance."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Consumer, **options: object) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Consumer) -> None:
        """Apply the state of maintenance to a new connection, before its first message is fetched."""
        self._apply(consumer)
        # The timer may have a thread of its own, and only the consumer's loop may change its queues.
        self._timer = consumer.timer.call_repeatedly(
            PAUSE_CHECK_SECONDS, consumer.call_soon, (self._apply, consumer)
        )

    def stop(self, _consumer: Consumer) -> None:
        """Stop the checks."""
        if self._timer:
            self._timer.cancel()

    def info(self, _consumer: Consumer) -> dict[str, list[str]]:
        """Return a part of `celery inspect stats`."""
        return {"paused_queues": sorted(_paused_queues)}

    def _apply(self, consumer: Consumer) -> None:
        if current.maintenance() is not None:
            _pause(consumer)
        elif _paused_queues:
            _resume(consumer)


def _pause(consumer: Consumer) -> None:
    # Empty when they are cancelled already.
    names = sorted(consumer.app.amqp.queues.consume_from)
    if names and not _paused_queues:
        logger.warning("Under maintenance: no job starts until it is over")
    _paused_queues.update(names)
    for name in names:
        consumer.cancel_task_queue(name)


def _resume(consumer: Consumer) -> None:
    logger.warning("Maintenance is over: jobs start again")
    for name in sorted(_paused_queues):
        consumer.add_task_queue(name)
    _paused_queues.clear()


class PausableRequest(Request):  # type: ignore[misc]
    """Job that returns to its queue when a pause begins before a process has it."""

    def revoked(self) -> bool:
        """Return whether the job must not start. Celery calls this last before a process gets the job."""
        if not _paused_queues:
            return bool(super().revoked())
        # The job neither waits in this worker nor runs any more.
        task_ready(self)
        self.reject(requeue=True)
        return True


# Heartbeat

INTERVAL_SECONDS = 5.0
LOST_SECONDS = 30.0
"""A job that no worker has recorded for longer is lost with its worker."""
REMOVE_SECONDS = 600.0
"""A worker without a heartbeat is listed as silent until then."""


class HeldJobs(NamedTuple):
    """Delivery tags of the jobs that a worker has, and how many of them run."""

    queues: list[str]
    tags: set[str]
    running: int


class WorkerHeartbeat:
    """Heartbeat of one worker.

    Args:
        client: Of the queue's database.
        name: Of the worker.
        held_jobs: Returns the jobs that it has.
        restore: Returns one job to its queue by its delivery tag.
        clock: Returns the server's time.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        held_jobs: Callable[[], HeldJobs],
        restore: Callable[[str], None],
        clock: Callable[[redis.Redis], float] | None = None,
    ) -> None:
        self._client, self._name = client, name
        self._held_jobs, self._restore_job = held_jobs, restore
        self._clock = clock or _server_time
        self._recorded_since: float | None = None

    def beat(self) -> None:
        """Record the worker's jobs and restore lost ones. Raises redis.RedisError."""
        try:
            now = self._clock(self._client)
            self._record(now)
        except redis.RedisError:
            self._recorded_since = None
            raise
        self._recorded_since = now if self._recorded_since is None else self._recorded_since
        self._restore_lost_jobs(now)

    def stop(self) -> None:
        """Remove the worker from the list. Raises redis.RedisError."""
        self._client.hdel(keys.WORKERS, self._name)

    def _record(self, now: float) -> None:
        held = self._held_jobs()
        document = {
            "at": now,
            "queues": held.queues,
            "held": len(held.tags),
            "running": held.running,
            "version": code_version(),
        }
        pipe = self._client.pipeline()
        pipe.hset(keys.WORKERS, self._name, json.dumps(document))
        if held.tags:
            pipe.zadd(keys.HELD, dict.fromkeys(held.tags, now))
        pipe.execute()

    def _restore_lost_jobs(self, now: float) -> None:
        unacked = _texts(self._client.zrange(keys.UNACKED_INDEX, 0, -1))
        if unacked:
            # A job that no heartbeat has recorded yet counts as recorded now.
            self._client.zadd(keys.HELD, dict.fromkeys(unacked, now), nx=True)
        if self._recorded_since is None or now - self._recorded_since < LOST_SECONDS:
            return
        silent = _texts(self._client.zrangebyscore(keys.HELD, "-inf", now - LOST_SECONDS))
        for tag in set(silent) & set(unacked):
            logger.warning("Job %s is lost with its worker; returned to its queue", tag)
            self._restore_job(tag)
        if silent:
            self._client.zrem(keys.HELD, *silent)
        self._remove_workers(now)

    def _remove_workers(self, now: float) -> None:
        workers = self._client.hgetall(keys.WORKERS).items()
        gone = [name for name, document in workers if json.loads(document)["at"] < now - REMOVE_SECONDS]
        if gone:
            self._client.hdel(keys.WORKERS, *gone)


def _texts(members: Any) -> list[str]:
    return [member.decode() for member in members]


def _server_time(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


class Heartbeat(StartStopStep):  # type: ignore[misc]
    """Step of the worker that runs a `WorkerHeartbeat` in a thread of the main process.

    The event loop is not suitable, because a job of the solo pool blocks it.
    """

    # The pool forks, so the thread starts after it.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: object) -> None:
        super().__init__(worker, **options)
        self._stopped = Event()
        self._thread: Thread | None = None

    def include_if(self, worker: Any) -> bool:
        """Return whether the queue has the keys of kombu's Redis transport."""
        with worker.app.connection_for_read() as connection:
            return bool(connection.transport.driver_type == "redis")

    def start(self, worker: Any) -> None:
        """Start the thread."""
        name = f"{worker.hostname} {os.getpid()}"
        heart = WorkerHeartbeat(
            redis_services.queue_client(),
            name,
            lambda: held_jobs(worker),
            lambda tag: restore(worker.app, tag),
        )
        self._thread = Thread(target=self._run, args=[heart], name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self, _worker: Any) -> None:
        """Stop the thread, which removes the worker from the list."""
        self._stopped.set()
        if self._thread:
            self._thread.join()

    terminate = stop

    def _run(self, heart: WorkerHeartbeat) -> None:
        while True:
            self._try(heart.beat)
            if self._stopped.wait(INTERVAL_SECONDS):
                return self._try(heart.stop)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except redis.RedisError as error:
            logger.warning("Cannot write the heartbeat: %s; retrying", type(error).__name__)
        except Exception:
            # Without a heartbeat other workers would start this worker's jobs again, so the thread continues.
            logger.exception("The heartbeat failed; retrying")


def held_jobs(worker: Any) -> HeldJobs:
    """Return the jobs that a worker has: those that run, and those that it has fetched."""
    consumer = getattr(getattr(worker, "consumer", None), "task_consumer", None)
    queues = [queue.name for queue in consumer.queues] if consumer else []
    # Jobs of a lost connection run on, although the new channel has no record of them.
    running = _copy(lambda: state.active_requests)
    tags = {request.message.delivery_tag for request in running}
    if consumer:
        tags.update(_copy(lambda: consumer.channel.qos._delivered))
    return HeldJobs(sorted(queues), tags, len(running))


def _copy(collection: Callable[[], Any]) -> list[Any]:
    """Return the members of a collection that the main thread may change during the copy."""
    while True:
        try:
            return list(collection())
        except RuntimeError:
            continue


def restore(app: Any, tag: str) -> None:
    """Return a job to its queue by its delivery tag."""
    with app.connection_for_write() as connection:
        connection.default_channel.qos.restore_by_tag(tag)

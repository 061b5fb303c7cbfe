"""Sending of jobs to the queue, in one round trip and with one short timeout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import redis
from celery import current_app
from kombu.exceptions import KombuError

from tecken.errors import Unavailable
from tecken.jobs.keys import CONVERT
from tecken.redisclient.services import cache_guard
from tecken.services import per_process

logger = logging.getLogger(__name__)
# Commands of one round trip. A job needs four.
BATCH_COMMANDS = 1000
# Priorities as a queue on Redis has them: 0 is taken first, 9 last.
FIRST, NEXT, LAST = 0, 3, 9


class JobRequest(NamedTuple):
    """Job to send. `expires` is in seconds; None for one that must be done however late."""

    task: str
    arguments: Sequence[object]
    expires: int | None = None
    priority: int = FIRST


class SendWatch:
    """Record of whether the last job that this process sent was refused or got no answer.

    It is not the state of the server: a full server refuses jobs and answers everything else.
    """

    has_failed = False


@per_process
def send_watch() -> SendWatch:
    """Return the outcome of the last send. Makes no connection: log lines read it."""
    return SendWatch()


def queue_is_down() -> bool:
    """Return whether a job that is sent now would probably fail. Reads memory only."""
    return send_watch().has_failed or cache_guard().breaker.open


def send(task: str, arguments: Sequence[object], expires: int | None = None, priority: int = FIRST) -> None:
    """Send one job. Raises Unavailable as `send_all` does."""
    send_all([JobRequest(task, arguments, expires, priority)])


def send_all(jobs: Sequence[JobRequest]) -> None:
    """Send jobs in one round trip.

    Raises Unavailable after the broker's one short timeout, or at once when it has just failed to answer.
    Some of the jobs may have been sent then.
    """
    watch = send_watch()
    try:
        cache_guard().call(_send_all, jobs)
    except Unavailable as error:
        if not error.__cause__:
            raise Unavailable("the queue: not asked, it has just failed", error.retry_after) from None
        watch.has_failed = True
        logger.warning("Cannot send %s: %s; the caller gets an error", jobs[0].task, error.__cause__)
        raise Unavailable("the queue does not answer") from error.__cause__
    watch.has_failed = False


def connect() -> None:
    """Connect to the queue, and import what Celery needs to send a job. Raises Unavailable.

    The first job of a process would otherwise be sent a tenth of a second later.
    """
    cache_guard().call(_connect)


def _connect() -> None:
    with current_app.producer_or_acquire() as producer:
        producer.connection.ensure_connection(max_retries=0)
        # Celery imports and builds these when they are first read: messages, routes, results, events.
        _ = current_app.amqp.send_task_message, current_app.amqp.router, current_app.backend, producer.channel
        # kombu declares a queue before the first job of a connection, over another connection.
        producer.maybe_declare(current_app.amqp.queues[CONVERT])


def _send_all(jobs: Sequence[JobRequest]) -> None:
    """Send jobs. Raise redis-py's own error where kombu wraps it: the guard checks the type of errors."""
    try:
        with current_app.producer_or_acquire() as producer:
            # Without this, kombu tries to connect for six seconds.
            producer.connection.ensure_connection(max_retries=0)
            with producer.batch(max_size=BATCH_COMMANDS):
                for job in jobs:
                    current_app.send_task(
                        job.task,
                        args=job.arguments,
                        expires=job.expires,
                        priority=job.priority,
                        # The caller waits, so it gets an error at once instead of kombu's retries.
                        retry=False,
                        producer=producer,
                    )
    except KombuError as error:
        cause = error.__cause__
        raise (cause if isinstance(cause, redis.RedisError) else redis.ConnectionError(str(error))) from error

"""The worker's consumer: quick reconnects, and a pause while the whole site is under maintenance.

Under maintenance no job starts and none is lost. A worker cancels its queues and consumes from them again
afterwards. Messages that it has already, because they were fetched just before or wait for their time (ETA)
or for a free process, return to their queue. A job that runs ends as usual. The worker still answers `celery
inspect`, and a lost connection does not end the pause.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker import consumer
from celery.worker.request import Request
from celery.worker.state import task_ready

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

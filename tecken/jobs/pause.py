"""No job starts while the whole site is under maintenance, and none is lost.

A worker's queues are let go and taken up again. Messages that it has already, because they were fetched just
now or wait for their time (ETA) or for a free process, go back to their queue. What runs ends as it would.
The worker goes on answering `celery inspect`, and a lost connection changes nothing.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import task_ready

from tecken.runtimeconfig import current

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.25  # in memory

_held: set[str] = set()
"""The queues of this process that are let go."""


class Pause(StartStopStep):  # type: ignore[misc]
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Consumer, **options: object) -> None:
        super().__init__(consumer, **options)
        self._looking: Any = None

    def start(self, consumer: Consumer) -> None:
        """With each connection, before the first message is fetched over it."""
        self._look(consumer)
        self._looking = consumer.timer.call_repeatedly(
            LOOK_SECONDS, consumer.call_soon, (self._look, consumer)
        )

    def stop(self, _consumer: Consumer) -> None:
        if self._looking:
            self._looking.cancel()

    def info(self, _consumer: Consumer) -> dict[str, list[str]]:
        """A part of `celery inspect stats`."""
        return {"paused_queues": sorted(_held)}

    def _look(self, consumer: Consumer) -> None:
        if current.maintenance() is not None:
            _hold(consumer)
        elif _held:
            _go_on(consumer)


def _hold(consumer: Consumer) -> None:
    names = sorted(consumer.app.amqp.queues.consume_from)  # none, when they were let go before
    if names and not _held:
        logger.warning("Under maintenance: no job starts until it is over")
    _held.update(names)
    for name in names:
        consumer.cancel_task_queue(name)


def _go_on(consumer: Consumer) -> None:
    logger.warning("Maintenance is over: jobs start again")
    for name in sorted(_held):
        consumer.add_task_queue(name)
    _held.clear()


class Held(Request):  # type: ignore[misc]
    """A job that asks once more, at the last moment before a process has it, whether it may start."""

    def revoked(self) -> bool:
        if not _held:
            return bool(super().revoked())
        task_ready(self)  # it is neither waiting here nor running any more
        self.reject(requeue=True)
        return True

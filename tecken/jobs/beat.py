"""Beat with a lock: of all that are started one sends the scheduled jobs, and another one can take over."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import redis
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from redis.lock import Lock

from tecken import wiring
from tecken.jobs.keys import BEAT

logger = logging.getLogger(__name__)
LEASE_SECONDS = 15.0
LOOK_SECONDS = 3.0  # renews it
LAST = "jobs:beat:last"
"""Hash of when each entry of the schedule was sent last: so it needs no file, and goes on where one ended."""


class OneBeat(Scheduler):  # type: ignore[misc]
    max_interval = LOOK_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.max_interval = LOOK_SECONDS  # whatever --max-interval said
        self._client = wiring.queue_client()
        self._lock = Lock(self._client, BEAT, timeout=LEASE_SECONDS, thread_local=False)
        self._first = False

    def tick(self, *arguments: Any, **options: Any) -> float:
        try:
            if not self._is_first():
                return LOOK_SECONDS
            return float(super().tick(*arguments, **options))
        except redis.RedisError as error:
            logger.warning("Cannot acquire the beat lock: %s; retrying", type(error).__name__)
            self._first = False
            return LOOK_SECONDS

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send a job that is due. Celery would log each of them at INFO, and each failure with two traces."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001 - one entry must not stop the others
            logger.warning("Cannot send %s: %s; retrying", entry.task, error)
        else:
            logger.debug("Sent %s (%s)", entry.task, entry.name)

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **options: Any
    ) -> Any:
        try:
            sent = super().apply_async(entry, producer=producer, advance=advance, **options)
        except SchedulingError:
            # The entry counts as sent by now. What is acquired again is read again, and is due.
            self._step_back()
            raise
        self._client.hset(LAST, entry.name, time.time())
        return sent

    def close(self) -> None:
        self._step_back()
        super().close()

    def _is_first(self) -> bool:
        if self._first:
            with suppress(redis.exceptions.LockError):
                return self._lock.reacquire()
            logger.warning("Lost the beat lock; another beat sends the scheduled jobs")
        self._first = self._lock.acquire(blocking=False)
        if self._first:
            logger.info("Acquired the beat lock; this beat sends the scheduled jobs")
            self._recall()
        return self._first

    def _recall(self) -> None:
        """Continue where the last beat ended; what was never sent is due."""
        sent = self._client.hgetall(LAST)
        for name, entry in self.schedule.items():
            entry.last_run_at = datetime.fromtimestamp(float(sent.get(name.encode(), 0)), UTC)
        self.populate_heap()

    def _step_back(self) -> None:
        if self._first:
            self._first = False
            # Without Redis the lock ends by itself.
            with suppress(redis.RedisError):
                self._lock.release()

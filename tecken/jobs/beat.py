"""One beat in the whole fleet, however many are started: the others wait, and one of them takes over."""

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

logger = logging.getLogger(__name__)
LEASE_SECONDS = 15.0
LOOK_SECONDS = 3.0  # renews it
LOCK = "jobs:beat"
LAST = "jobs:beat:last"
"""Hash of when each entry of the schedule was sent last: so it needs no file, and goes on where one ended."""


class OneBeat(Scheduler):  # type: ignore[misc]
    max_interval = LOOK_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.max_interval = LOOK_SECONDS  # an embedded one is told another
        self._client = wiring.queue_client()
        self._lock = Lock(self._client, LOCK, timeout=LEASE_SECONDS, thread_local=False)
        self._first = False

    def tick(self, *arguments: Any, **options: Any) -> float:
        try:
            if not self._is_first():
                return LOOK_SECONDS
            return float(super().tick(*arguments, **options))
        except redis.RedisError as error:
            logger.warning("Nobody can tell which beat is first: %s", type(error).__name__)
            self._first = False
            return LOOK_SECONDS

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **options: Any
    ) -> Any:
        try:
            sent = super().apply_async(entry, producer=producer, advance=advance, **options)
        except SchedulingError:
            self._step_back()  # else this entry had its turn, and the next one is an interval later
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
            logger.warning("Another beat has taken over")
        self._first = self._lock.acquire(blocking=False)
        if self._first:
            logger.warning("This beat sends what is due")
            self._recall()
        return self._first

    def _recall(self) -> None:
        """What was never sent is due."""
        sent = self._client.hgetall(LAST)
        for name, entry in self.schedule.items():
            entry.last_run_at = datetime.fromtimestamp(float(sent.get(name.encode(), 0)), UTC)
        self.populate_heap()

    def _step_back(self) -> None:
        if self._first:
            self._first = False
            with suppress(redis.RedisError):  # it ends by itself
                self._lock.release()

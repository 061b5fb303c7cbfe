"""Beat with a lock: one of all running beats sends the scheduled jobs, and another one can take over."""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import redis
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from redis.lock import Lock

from tecken.jobs.keys import BEAT
from tecken.redisclient import services as redis_services

logger = logging.getLogger(__name__)
LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
LAST = "jobs:beat:last"
"""Hash of when each entry of the schedule was sent last, by its name, so that another beat can continue."""


class OneBeat(Scheduler):  # type: ignore[misc]
    """Scheduler that sends jobs only while it has the lock."""

    max_interval = RENEW_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # With a longer --max-interval the lock would expire between two renewals.
        self.max_interval = RENEW_SECONDS
        self._client = redis_services.queue_client()
        self._lock = Lock(self._client, BEAT, timeout=LEASE_SECONDS, thread_local=False)
        self._token = secrets.token_hex(16)
        self._locked = False

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due, and return the seconds until the next call."""
        try:
            if not self._has_lock():
                return RENEW_SECONDS
            return float(super().tick(*arguments, **options))
        except redis.RedisError as error:
            logger.warning("Cannot acquire the beat lock: %s; retrying", type(error).__name__)
            self._locked = False
            return RENEW_SECONDS

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send a job that is due. Celery would log each job at INFO, and each failure with two traces."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001 - one entry must not stop the others
            logger.warning("Cannot send %s: %s; retrying", entry.task, error)
        else:
            logger.debug("Sent %s (%s)", entry.task, entry.name)

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **options: Any
    ) -> Any:
        """Send a job, and record the time."""
        try:
            sent = super().apply_async(entry, producer=producer, advance=advance, **options)
        except SchedulingError:
            # Celery counts the entry as sent. The next acquisition reads the recorded times: it is due again.
            self._release()
            raise
        # Recorded after the send: a beat that ends in between sends the job twice, and never not at all.
        self._client.hset(LAST, entry.name, time.time())
        return sent

    def close(self) -> None:
        """Release the lock."""
        self._release()
        super().close()

    def _has_lock(self) -> bool:
        if self._locked:
            with suppress(redis.exceptions.LockError):
                return self._lock.reacquire()
            logger.warning("Lost the beat lock; another beat sends the scheduled jobs")
        self._locked = self._lock.acquire(blocking=False, token=self._token)
        if self._locked:
            logger.info("Acquired the beat lock; this beat sends the scheduled jobs")
            self._load_last_runs()
        return self._locked

    def _load_last_runs(self) -> None:
        """Continue where the last beat ended. An entry that was never sent is due."""
        sent, now = self._client.hgetall(LAST), time.time()
        for name, entry in self.schedule.items():
            # A host whose clock is ahead records times in the future. Without the bound, an entry would not
            # be sent until the clock of this host reaches such a time.
            last = min(now, float(sent.get(name.encode(), 0)))
            entry.last_run_at = datetime.fromtimestamp(last, UTC)
        self.populate_heap()

    def _release(self) -> None:
        self._locked = False
        # A signal may end the process when Redis has the lock and this process does not know it yet. So the
        # token decides, and not `_locked`. Without Redis the lock expires.
        with suppress(redis.RedisError):
            self._lock.do_release(self._token)

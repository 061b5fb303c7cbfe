"""How every job runs: its starts are counted, and one that cannot be done is kept as a dead letter."""

from __future__ import annotations

import errno
import logging
import random
import time
import traceback
from typing import Any

import redis
from celery import Task
from celery.exceptions import Ignore, Reject, Retry

from tecken.jobs.records import Letter, records
from tecken.runtimeconfig.current import options

logger = logging.getLogger(__name__)
LONGEST_PAUSE = 600.0  # seconds; the visibility timeout is longer
FULL_DISK_PAUSE = 15.0  # seconds, the first one
# The last try comes after a quarter of an hour, when an operator had the time to react.
TRIES_WITH_FULL_DISK = 6
LONGEST_TRACE = 8000  # characters
SELDOM_STARTED = 0  # when nobody can count


class Job(Task):  # type: ignore[misc]
    """Its message is acknowledged when it has ended, so it starts again when its process is killed.

    A job that ends its process each time would do so for ever (Celery counts no starts): it is not started
    more than `jobs_max_starts` times. One that fails and has no retry left is a dead letter at once, unless
    it was to expire: such a job is sent again by beat or by the next request. With a full disk it is retried.
    """

    Request = "tecken.jobs.pause:Held"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.request.called_directly:
            return self.run(*args, **kwargs)
        starts = self._begin()
        if starts > options().jobs_max_starts:
            why = f"started {starts - 1} times, and never came to an end"
            self._give_up(self._letter(why, starts - 1))
            raise Ignore
        try:
            result = self.run(*args, **kwargs)
        except (Retry, Ignore, Reject):
            self._end()
            raise
        except Exception as error:
            self._retry_when_disk_is_full(error)
            self._failed(error, starts)
            raise
        self._end()
        return result

    def _retry_when_disk_is_full(self, error: Exception) -> None:
        """Raise Retry: a full disk says nothing about the job, and others of it may still make room."""
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full and not self.request.expires and self.request.retries < TRIES_WITH_FULL_DISK:
            self._end()
            raise self.retry(
                exc=error,
                countdown=pause(FULL_DISK_PAUSE, self.request.retries),
                max_retries=TRIES_WITH_FULL_DISK,
            )

    def _begin(self) -> int:
        try:
            return records().begin(self.request.id)
        except redis.RedisError as error:
            # Who sent this job is away, so it comes a second time only when counting works again.
            logger.warning("Starts of %s are not counted: %s", self.request.id, type(error).__name__)
            return SELDOM_STARTED

    def _end(self) -> None:
        try:
            records().end(self.request.id)
        except redis.RedisError as error:
            logger.warning("The end of %s is not recorded: %s", self.request.id, type(error).__name__)

    def _failed(self, error: Exception, starts: int) -> None:
        if self.request.expires:
            self._end()
            return
        why = f"{type(error).__name__}: {error}"
        self._give_up(self._letter(why, starts, "".join(traceback.format_exception(error))))

    def _give_up(self, letter: Letter) -> None:
        """Raises Reject, so that the message comes back, when the letter cannot be kept."""
        try:
            records().bury(letter)
        except redis.RedisError as error:
            raise Reject(f"its letter cannot be kept: {type(error).__name__}", requeue=True) from error
        logger.error("%s is a dead letter (%s): %s", letter.id, letter.task, letter.why)

    def _letter(self, why: str, starts: int, trace: str = "") -> Letter:
        asked = self.request
        return Letter(
            id=asked.id,
            task=self.name,
            queue=asked.delivery_info.get("routing_key") or "",
            why=why,
            died=time.time(),
            args=list(asked.args or ()),
            kwargs=dict(asked.kwargs or {}),
            sent=asked.get("sent"),
            starts=starts,
            retries=asked.retries,
            trace=trace[-LONGEST_TRACE:],
        )


def pause(first: float, retries: int) -> float:
    """Seconds until the next try: twice as long each time, and spread, so that what failed together does not
    come back together."""
    longest = min(first * 2.0**retries, LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries

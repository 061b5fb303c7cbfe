"""Base class of all tasks, and handlers of Celery's signals.

The class counts starts, and keeps a job that cannot succeed as a dead letter. The handlers start the runtime
configuration in workers and beat, pin one set of options from a job's first line to the log line of its end,
add to each message the time it was sent, and keep messages that are not valid jobs.
"""

from __future__ import annotations

import errno
import logging
import random
import time
import traceback
from contextlib import suppress
from typing import Any

import redis
from celery import Task
from celery.exceptions import Ignore, Reject, Retry
from celery.signals import (
    beat_init,
    before_task_publish,
    celeryd_init,
    task_postrun,
    task_prerun,
    task_rejected,
    task_revoked,
    task_unknown,
    worker_process_init,
    worker_ready,
)

from tecken.jobs.records import DeadLetter, build_letter, records
from tecken.runtimeconfig import current
from tecken.runtimeconfig.current import options

logger = logging.getLogger(__name__)
# Seconds. The visibility timeout is longer: otherwise a waiting job would be delivered a second time.
LONGEST_PAUSE = 600.0
# Seconds before the first retry.
FULL_DISK_PAUSE = 15.0
# The last try comes after a quarter of an hour, so that an operator has the time to react.
TRIES_WITH_FULL_DISK = 6
# Characters.
LONGEST_TRACE = 8000
UNCOUNTED = 0
"""Starts of a job while the count cannot be read."""


class Job(Task):  # type: ignore[misc]
    """A job, acknowledged at its end, so that it starts again when its process is killed.

    A job that ends its process each time would start without limit, since Celery counts no starts. So a job
    starts at most `jobs_max_starts` times. One that fails and has no retry left becomes a dead letter at
    once, unless it has an expiry: beat or the next request sends such a job again. A full disk causes a
    retry.
    """

    Request = "tecken.jobs.worker:PausableRequest"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job, with its starts counted."""
        if self.request.called_directly:
            return self.run(*args, **kwargs)
        starts = self._begin()
        if starts > options().jobs_max_starts:
            why = f"started {starts - 1} times, and never came to an end"
            self._store_letter(self._letter(why, starts - 1))
            raise Ignore
        try:
            result = self.run(*args, **kwargs)
        except (Retry, Ignore, Reject):
            # These end the start as planned. A retry is another message, with starts of its own.
            self._end()
            raise
        except Exception as error:
            self._retry_when_disk_is_full(error)
            self._handle_failure(error, starts)
            raise
        self._end()
        return result

    def _retry_when_disk_is_full(self, error: Exception) -> None:
        """Raise Retry when the disk is full, which is no fault of the job. Other jobs may free space."""
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
            # The server of the count is the server of the queue: a second start needs both.
            logger.warning(
                "Cannot count the start of %s: %s; it runs all the same",
                self.request.id,
                type(error).__name__,
            )
            return UNCOUNTED

    def _end(self) -> None:
        try:
            records().end(self.request.id)
        except redis.RedisError as error:
            # The next cleaning removes the record.
            logger.warning("Cannot record the end of %s: %s", self.request.id, type(error).__name__)

    def _handle_failure(self, error: Exception, starts: int) -> None:
        if self.request.expires:
            self._end()
            return
        why = f"{type(error).__name__}: {error}"
        self._store_letter(self._letter(why, starts, "".join(traceback.format_exception(error))))

    def _store_letter(self, letter: DeadLetter) -> None:
        """Store a dead letter. Raises Reject when it cannot be stored: the message is delivered again."""
        try:
            records().store_letter(letter)
        except redis.RedisError as error:
            raise Reject(f"cannot store its dead letter: {type(error).__name__}", requeue=True) from error
        logger.error("%s is a dead letter (%s): %s", letter.id, letter.task, letter.why)

    def _letter(self, why: str, starts: int, trace: str = "") -> DeadLetter:
        request = self.request
        return DeadLetter(
            id=request.id,
            task=self.name,
            queue=request.delivery_info.get("routing_key") or "",
            why=why,
            died=time.time(),
            args=list(request.args or ()),
            kwargs=dict(request.kwargs or {}),
            sent=request.get("sent"),
            starts=starts,
            retries=request.retries,
            trace=trace[-LONGEST_TRACE:],
        )


def pause(first: float, retries: int) -> float:
    """Return the seconds until the next try: twice as long each time, up to LONGEST_PAUSE.

    They are spread, so that jobs that failed together are not retried together.
    """
    longest = min(first * 2.0**retries, LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries


# Handlers of signals


@celeryd_init.connect  # type: ignore[untyped-decorator]
def set_kind(**_more: object) -> None:
    """Mark the process as a worker, before it forks its children."""
    current.set_kind("worker")


@worker_ready.connect  # type: ignore[untyped-decorator]
@worker_process_init.connect  # type: ignore[untyped-decorator]
def start(**_more: object) -> None:
    """Follow the runtime configuration."""
    current.start()
    current.follow_log_level()


@beat_init.connect  # type: ignore[untyped-decorator]
def start_beat(**_more: object) -> None:
    """Mark the process as beat, and follow the runtime configuration."""
    current.set_kind("beat")
    start()


@task_prerun.connect  # type: ignore[untyped-decorator]
def pin(task: Any, **_more: object) -> None:
    """Give the job one set of options until its end."""
    task.request.pinned = current.pinned()
    # The start and the end of a job are two signals, so no `with` block can surround it.
    task.request.pinned.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def unpin(task: Any, **_more: object) -> None:
    """Release the job's options. Celery sends this after every outcome, in the thread of `pin`."""
    task.request.pinned.__exit__(None, None, None)


@before_task_publish.connect  # type: ignore[untyped-decorator]
def stamp(headers: dict[str, Any], **_more: object) -> None:
    """Add the time to a message, and record a job that beat sends."""
    headers["sent"] = time.time()
    if headers.get("celery_beat_task"):
        # A failure here must not stop the job. Without Redis it is not sent anyway.
        with suppress(redis.RedisError):
            records().schedule(headers["id"])


@task_unknown.connect  # type: ignore[untyped-decorator]
@task_rejected.connect  # type: ignore[untyped-decorator]
def keep_unreadable(message: Any, exc: Exception | None, **_more: object) -> None:
    """Keep a message of another version or of another program as a dead letter. Celery would drop it."""
    records().store_letter(build_letter(message, f"no job can be made of it: {exc!r}"))


@task_revoked.connect  # type: ignore[untyped-decorator]
def end_revoked(request: Any, **_more: object) -> None:
    """Remove the records of a job that has expired or was revoked."""
    records().end(request.id)

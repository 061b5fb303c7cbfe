"""Handlers of Celery's signals.

They start the runtime configuration in workers and beat, pin one set of options from a job's first line to
the log line of its end, add to each message the time it was sent, and keep messages that are not valid jobs.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import redis
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

from tecken.jobs import dead_letters
from tecken.jobs.records import records
from tecken.runtimeconfig import current


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
    records().store_letter(dead_letters.build_letter(message, f"no job can be made of it: {exc!r}"))


@task_revoked.connect  # type: ignore[untyped-decorator]
def end_revoked(request: Any, **_more: object) -> None:
    """Remove the records of a job that has expired or was revoked."""
    records().end(request.id)

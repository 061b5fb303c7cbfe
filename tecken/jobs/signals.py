"""Processes of Celery have the runtime configuration, and a job has one set of options.

The same set from its first line to the line in the log that says how it ended. A message says when it was
sent, and one that no job can be made of is kept.
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

from tecken.jobs import dead
from tecken.jobs.records import records
from tecken.runtimeconfig import current


@celeryd_init.connect  # type: ignore[untyped-decorator]
def call_it_worker(**_more: object) -> None:
    """Before its children are forked, which inherit the word."""
    current.set_kind("worker")


@worker_ready.connect  # type: ignore[untyped-decorator]
@worker_process_init.connect  # type: ignore[untyped-decorator]
def start(**_more: object) -> None:
    current.start()
    current.follow_log_level()


@beat_init.connect  # type: ignore[untyped-decorator]
def start_beat(**_more: object) -> None:
    current.set_kind("beat")
    start()


@task_prerun.connect  # type: ignore[untyped-decorator]
def pin(task: Any, **_more: object) -> None:
    task.request.pinned = current.pinned()
    task.request.pinned.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def unpin(task: Any, **_more: object) -> None:
    """Celery sends this however the job ended, in the thread of `pin`."""
    task.request.pinned.__exit__(None, None, None)


@before_task_publish.connect  # type: ignore[untyped-decorator]
def say_when(headers: dict[str, Any], **_more: object) -> None:
    headers["sent"] = time.time()
    if headers.get("celery_beat_task"):
        # A failure here must not stop the job. Without Redis it is not sent anyway.
        with suppress(redis.RedisError):
            records().schedule(headers["id"])


@task_unknown.connect  # type: ignore[untyped-decorator]
@task_rejected.connect  # type: ignore[untyped-decorator]
def keep(message: Any, exc: Exception | None, **_more: object) -> None:
    """Celery would drop it: it was sent by another version, or by somebody else."""
    records().bury(dead.unread(message, f"no job can be made of it: {exc!r}"))


@task_revoked.connect  # type: ignore[untyped-decorator]
def forget(request: Any, **_more: object) -> None:
    """It has expired, or somebody revoked it."""
    records().end(request.id)

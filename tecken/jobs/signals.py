"""Processes of Celery have the runtime configuration, and a job has one set of options.

The same set from its first line to the line in the log that says how it ended.
"""

from __future__ import annotations

from typing import Any

from celery.signals import (
    beat_init,
    celeryd_init,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_ready,
)

from tecken.inforce import follow_log_level
from tecken.runtimeconfig import current


@celeryd_init.connect  # type: ignore[untyped-decorator]
def call_it_worker(**_more: object) -> None:
    """Before its children are forked, which inherit the word."""
    current.kind("worker")


@worker_ready.connect  # type: ignore[untyped-decorator]
@worker_process_init.connect  # type: ignore[untyped-decorator]
def start(**_more: object) -> None:
    current.start()
    follow_log_level()


@beat_init.connect  # type: ignore[untyped-decorator]
def start_beat(**_more: object) -> None:
    current.kind("beat")
    start()


@task_prerun.connect  # type: ignore[untyped-decorator]
def pin(task: Any, **_more: object) -> None:
    task.request.pinned = current.pinned()
    task.request.pinned.__enter__()


@task_postrun.connect  # type: ignore[untyped-decorator]
def unpin(task: Any, **_more: object) -> None:
    """Celery sends this however the job ended, in the thread of `pin`."""
    task.request.pinned.__exit__(None, None, None)

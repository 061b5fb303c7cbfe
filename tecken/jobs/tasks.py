"""Tasks of the queue itself. Celery finds tasks in modules of this name."""

from __future__ import annotations

import time

from celery import Task, shared_task

from tecken.jobs.records import records


@shared_task(bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def canary(self: Task, queue: str) -> None:
    """Record how long this job waited in its queue, which every job there waits. Safe to run twice."""
    now = time.time()
    records().canary(queue, max(0.0, now - self.request.get("sent", now)))


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def clean() -> None:
    """Remove records of jobs that were lost with their message. Safe to run twice."""
    records().clean()

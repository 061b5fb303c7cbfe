from __future__ import annotations

import time

from celery import Task, shared_task

from tecken.jobs.records import records


@shared_task(bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def canary(self: Task, queue: str) -> None:
    """Safe to run twice. How long it waited in its queue is how long everything there waits."""
    now = time.time()
    records().canary(queue, max(0.0, now - self.request.get("sent", now)))


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def clean() -> None:
    """Safe to run twice."""
    records().clean()

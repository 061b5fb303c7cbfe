from __future__ import annotations

from celery import Task


class Job(Task):  # type: ignore[misc]
    Request = "tecken.jobs.pause:Held"

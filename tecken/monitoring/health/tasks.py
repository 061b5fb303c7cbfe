"""Scheduled jobs. Their names are in messages of running sites, so they do not follow the modules."""

from __future__ import annotations

from celery import shared_task

from tecken.monitoring.health.series import take_sample
from tecken.monitoring.health.sizing import update_sizing


@shared_task(name="tecken.health.tasks.sample", ignore_result=True)  # type: ignore[untyped-decorator]
def sample() -> None:
    """Take a sample; a job that runs twice takes two."""
    take_sample()


@shared_task(name="tecken.health.tasks.size_store", ignore_result=True)  # type: ignore[untyped-decorator]
def size_store() -> None:
    """Compute how large the store must be; a job that runs twice computes it twice."""
    update_sizing()

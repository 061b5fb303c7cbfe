from __future__ import annotations

from celery import shared_task

from tecken.monitoring.health import series, sizing


@shared_task(name="tecken.health.tasks.sample", ignore_result=True)  # type: ignore[untyped-decorator]
def sample() -> None:
    """Run twice it is two samples."""
    series.take()


@shared_task(name="tecken.health.tasks.size_store", ignore_result=True)  # type: ignore[untyped-decorator]
def size_store() -> None:
    """Run twice it is counted twice."""
    sizing.take()

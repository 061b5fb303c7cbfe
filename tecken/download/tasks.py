from __future__ import annotations

from celery import shared_task
from django.utils import timezone
from redis.exceptions import LockError

from tecken.download import retention, services


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def write_misses() -> None:
    """Safe to run twice, and while another one runs."""
    try:
        services.miss_writer().write()
    except LockError:
        return
    retention.trim()


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def clean() -> None:
    """Safe to run twice."""
    retention.clean(timezone.now())
    retention.trim()

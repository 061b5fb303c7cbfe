"""Celery tasks of downloads, and the writer of missing files that they use."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone
from redis.exceptions import LockError

from tecken.download import retention
from tecken.download.missing import MissWriter
from tecken.redisclient.services import cache_client
from tecken.services import per_process


@per_process
def miss_writer() -> MissWriter:
    """Return the writer that moves counts of missing files from redis-cache into the database."""
    return MissWriter(cache_client())


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def write_misses() -> None:
    """Move counts into the database, unless another worker does. Safe to run twice."""
    try:
        miss_writer().write()
    except LockError:
        return
    retention.trim()


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def clean() -> None:
    """Remove old and excess missing symbols. Safe to run twice."""
    retention.clean(timezone.now())
    retention.trim()

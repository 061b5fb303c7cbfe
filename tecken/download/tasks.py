from __future__ import annotations

from celery import shared_task
from redis.exceptions import LockError

from tecken.download import parts


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def write_misses() -> None:
    """Safe to run twice, and while another one runs."""
    try:
        parts.misses().write()
    except LockError:
        return

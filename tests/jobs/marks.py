"""For a worker: `celery -A tecken worker --include tests.jobs.marks`."""

from __future__ import annotations

import logging

from celery import shared_task
from django_redis import get_redis_connection

from tecken.runtimeconfig import current

DONE = "jobs that are done"
logger = logging.getLogger(__name__)


@shared_task(name="mark", ignore_result=True)  # type: ignore[untyped-decorator]
def mark(name: str) -> None:
    get_redis_connection("default").lpush(DONE, name)


@shared_task(name="look", ignore_result=True)  # type: ignore[untyped-decorator]
def look() -> None:
    get_redis_connection("default").lpush(DONE, current.version())


@shared_task(name="look twice", ignore_result=True)  # type: ignore[untyped-decorator]
def look_twice() -> None:
    """Waits for a word in between."""
    server = get_redis_connection("default")
    first = current.version()
    server.lpush(DONE, first)
    server.blpop("go on", timeout=30)
    logger.warning("looked twice: %d and %d", first, current.version())

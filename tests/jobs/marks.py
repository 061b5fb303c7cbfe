"""Tasks for a worker of a test: `celery -A tecken worker --include tests.jobs.marks`."""

from __future__ import annotations

import logging

import redis
from celery import shared_task
from django.conf import settings
from django_redis import get_redis_connection

from tecken.runtimeconfig import current

DONE = "jobs that are done"
logger = logging.getLogger(__name__)


def wait_for_word(key: str) -> None:
    """Wait until the test pushes something there.

    The site's own client gives up a read after REDIS_TIMEOUT_SECONDS, however long the command may block.
    """
    with redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]) as client:
        client.blpop(key, timeout=60)


@shared_task(name="mark", ignore_result=True)  # type: ignore[untyped-decorator]
def mark(name: str) -> None:
    get_redis_connection("default").lpush(DONE, name)


@shared_task(name="look", ignore_result=True)  # type: ignore[untyped-decorator]
def look() -> None:
    get_redis_connection("default").lpush(DONE, current.version())


@shared_task(name="look twice", ignore_result=True)  # type: ignore[untyped-decorator]
def look_twice() -> None:
    """Mark, wait for the test, and mark again."""
    first = current.version()
    get_redis_connection("default").lpush(DONE, first)
    wait_for_word("go on")
    logger.warning("looked twice: %d and %d", first, current.version())

"""What `/__heartbeat__` asks. A check answers with messages; it does not raise when a back end is down."""

from __future__ import annotations

from collections.abc import Callable

from django.core.cache import caches
from django.db import DatabaseError, connection
from dockerflow.checks import CheckMessage, Error, Warning
from redis.exceptions import RedisError


def database() -> list[CheckMessage]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return [Error(f"database: {error}", id="tecken.health.E001")]
    return []


def redis_cache() -> list[CheckMessage]:
    return [Error(f"redis-cache: {why}", id="tecken.health.E002") for why in _cannot_write("default")]


def redis_store() -> list[CheckMessage]:
    """Only a warning: without the store, pages are read from the page files."""
    return [Warning(f"redis-store: {why}", id="tecken.health.W003") for why in _cannot_write("store")]


def _cannot_write(alias: str) -> list[str]:
    """A PING would succeed on a read-only replica and on a server that is full."""
    try:
        caches[alias].set("heartbeat", 1, timeout=1)
    except RedisError as error:
        return [type(error).__name__]  # its text may quote a command, and with it a password
    return []


CHECKS: tuple[Callable[[], list[CheckMessage]], ...] = (database, redis_cache, redis_store)

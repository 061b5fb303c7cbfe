"""Clients of redis-cache, one for each of its databases, and the guard that they share."""

from __future__ import annotations

import redis
from django.conf import settings
from django.core.cache import caches

from tecken import redisclient
from tecken.redisclient.guard import RedisGuard, redis_cache
from tecken.services import per_process


@per_process
def cache_client() -> redis.Redis:
    """Return the client of `caches["default"]`: database 0 of redis-cache."""
    client: redis.Redis = caches["default"].client.get_client(write=True)  # type: ignore[attr-defined]
    return client


@per_process
def queue_client() -> redis.Redis:
    """Return a client of the queue: database 1 of redis-cache."""
    return _client(settings.REDIS_QUEUE_URL)


@per_process
def counters_client() -> redis.Redis:
    """Return a client of limits and counters: database 3 of redis-cache."""
    return _client(settings.REDIS_COUNTERS_URL)


def cache_guard() -> RedisGuard:
    """Return the guard of redis-cache. Opens no connection, since each log line reads its state."""
    return redis_cache()


def _client(url: str) -> redis.Redis:
    return redisclient.client(
        url,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )

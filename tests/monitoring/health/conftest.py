from __future__ import annotations

from collections.abc import Callable, Iterator
from time import time

import orjson
import pytest
from pytest_django import Settings

from tecken import services
from tecken.jobs import keys
from tecken.jobs.keys import QUEUES
from tecken.redisclient import services as redis_services
from tests.support.redis_server import RedisServer

Move = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def patient(settings: Settings, clear_redis_store: None) -> Iterator[None]:
    """Start without results, and with a deadline that a busy machine meets."""
    settings.HEALTH_CHECK_SECONDS = 30.0
    services.discard_all()
    yield
    services.discard_all()


@pytest.fixture
def move(settings: Settings) -> Move:
    """Return a function that replaces a server: `move("store", url)`; "default" is redis-cache."""

    def to(alias: str, url: str) -> None:
        settings.CACHES = {**settings.CACHES, alias: {**settings.CACHES[alias], "LOCATION": url}}
        if alias == "default":
            settings.REDIS_QUEUE_URL = url.removesuffix("/0") + "/1"
            settings.REDIS_COUNTERS_URL = url.removesuffix("/0") + "/3"
        services.discard_all()

    return to


@pytest.fixture
def worker() -> None:
    """Record a running worker on redis-cache."""
    report = {"at": time(), "queues": list(QUEUES), "held": 0, "running": 0}
    redis_services.queue_client().hset(keys.WORKERS, "celery@here", orjson.dumps(report))


@pytest.fixture
def redis_cache(move: Move) -> Iterator[RedisServer]:
    """Start a redis-cache that the test can stop."""
    with RedisServer() as server:
        move("default", server.url)
        yield server


@pytest.fixture
def redis_store(move: Move) -> Iterator[RedisServer]:
    with RedisServer(maxmemory="50mb", maxmemory_policy="allkeys-lru") as server:
        move("store", server.url)
        yield server

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tecken.redisclient import client
from tests.support.redis_server import RedisServer

STORE_CONF = Path(__file__).parents[2] / "docker/images/redis/redis.conf"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """This test's own: it may be filled, paused and stopped."""
    with RedisServer(STORE_CONF) as running:
        yield running


@pytest.fixture
def connection(server: RedisServer) -> Iterator[redis.Redis]:
    with client(server.url, timeout=5, connect_timeout=5) as connected:
        yield connected

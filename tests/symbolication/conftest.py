from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from tecken import redisclient


@pytest.fixture
def cache_client(clear_redis_cache: None) -> Iterator[redis.Redis]:
    with redisclient.client(os.environ["REDIS_URL"], timeout=5, connect_timeout=5) as client:
        yield client

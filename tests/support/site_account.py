"""Redis servers with an account for the site, which may send the commands that are checked at start.

Without them a command that the site sends and the check does not know would first be refused at an operator
whose account may do no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tecken.monitoring.preflight import inspect
from tests.support.redis_server import RedisServer

IMAGES: Final = Path(__file__).parents[2] / "docker" / "images"
# Tests send these with a client of the site. Of those that `inspect` has for neither server, the site sends
# SLOWLOG only, and works without it.
OF_TESTS: Final = (
    *(("FLUSHALL",), ("FLUSHDB",), ("KEYS",), ("TTL",), ("OBJECT",), ("PUBSUB",), ("CONFIG",)),
    *(("RPUSH",), ("LTRIM",), ("SLOWLOG",), ("DBSIZE",), ("MSET",), ("HKEYS",), ("HINCRBYFLOAT",)),
)


def cache_server(**directives: str) -> RedisServer:
    """Return redis-cache as it is in production, not yet started."""
    rules = inspect.acl_rules(inspect.CACHE, inspect.CACHE_OUTSIDE, OF_TESTS)
    return RedisServer(IMAGES / "redis-cache" / "redis.conf", rules, **directives)


def store_server(**directives: str) -> RedisServer:
    """Return redis-store as it is in production, not yet started."""
    rules = inspect.acl_rules(inspect.STORE, inspect.STORE_OUTSIDE, OF_TESTS)
    return RedisServer(IMAGES / "redis" / "redis.conf", rules, **directives)

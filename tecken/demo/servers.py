"""Redis servers in the memory of this process.

The very code that talks to a server talks to these: keys, expiry, scripts, subscriptions. So nothing has a
second implementation for the demo, except the page store, because these evict nothing.
"""

from __future__ import annotations

from typing import Any

import redis

SCHEME = "memory"


def is_memory(url: str) -> bool:
    return url.startswith(f"{SCHEME}:")


def pool(url: str, **options: Any) -> redis.ConnectionPool:
    """Of `memory://NAME[/NUMBER]`; the same name is the same server, in all of the process."""
    from fakeredis import FakeRedisConnection  # noqa: PLC0415 - 150 ms that only a demo needs

    name, _, number = url.removeprefix(f"{SCHEME}://").partition("/")
    options |= {"health_check_interval": 0}  # else each look at a subscription would send a PING
    return redis.ConnectionPool(
        connection_class=FakeRedisConnection, host=name, port=0, db=int(number or 0), **options
    )

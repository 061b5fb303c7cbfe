"""Redis servers in the memory of this process.

Demo mode runs the same code on these servers as on real ones: keys, expiry, scripts, subscriptions. Only the
page store has a second implementation for it, because these servers evict nothing.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from fakeredis import FakeServer

SCHEME = "memory"
_servers: dict[str, FakeServer] = {}
_creation_lock = Lock()


def is_memory(url: str) -> bool:
    """Return whether the URL names a server in memory."""
    return url.startswith(f"{SCHEME}:")


def pool(url: str, **options: Any) -> redis.ConnectionPool:
    """Return a pool for `memory://NAME[/NUMBER]`. One name is one server in the whole process."""
    from fakeredis import FakeRedisConnection  # noqa: PLC0415 - 150 ms that only a demo needs

    name, _, number = url.removeprefix(f"{SCHEME}://").partition("/")
    # With an interval, each poll of a subscription would send a PING.
    options |= {"health_check_interval": 0}
    server = _server(name, int(number or 0))
    return redis.ConnectionPool(
        connection_class=FakeRedisConnection, server=server, db=int(number or 0), **options
    )


def _server(name: str, number: int) -> FakeServer:
    """Return the server with its database `number`.

    The lock covers the database, too: without it, two threads that create it at the same time could each
    keep a different one.
    """
    from fakeredis import FakeServer  # noqa: PLC0415 - as above

    with _creation_lock:
        server = _servers.setdefault(name, FakeServer())
        server.dbs[number]
    return server

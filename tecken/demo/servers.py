"""Redis servers in the memory of this process.

The very code that talks to a server talks to these: keys, expiry, scripts, subscriptions. So nothing has a
second implementation for the demo, except the page store, because these evict nothing.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from fakeredis import FakeServer

SCHEME = "memory"
_servers: dict[str, FakeServer] = {}
_making = Lock()


def is_memory(url: str) -> bool:
    return url.startswith(f"{SCHEME}:")


def pool(url: str, **options: Any) -> redis.ConnectionPool:
    """Of `memory://NAME[/NUMBER]`; the same name is the same server, in all of the process."""
    from fakeredis import FakeRedisConnection  # noqa: PLC0415 - 150 ms that only a demo needs

    name, _, number = url.removeprefix(f"{SCHEME}://").partition("/")
    options |= {"health_check_interval": 0}  # else each look at a subscription would send a PING
    server = _server(name, int(number or 0))
    return redis.ConnectionPool(
        connection_class=FakeRedisConnection, server=server, db=int(number or 0), **options
    )


def _server(name: str, number: int) -> FakeServer:
    """With that database: of two threads that make it at once, one would have another than the rest."""
    from fakeredis import FakeServer  # noqa: PLC0415 - as above

    with _making:
        server = _servers.setdefault(name, FakeServer())
        server.dbs[number]
    return server

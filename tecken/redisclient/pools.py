"""Connection pools: those that a forked child can use, of the master that sentinels name, and in memory.

Demo mode runs the same code on servers in the memory of this process as on real ones: keys, expiry, scripts,
subscriptions. Only the page store has a second implementation for it, because these servers evict nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock, RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import redis
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from tecken.redisclient.urls import Sentinels

if TYPE_CHECKING:
    from fakeredis import FakeServer


class ForkSafe:
    """Pool that survives a fork while another thread of the parent uses it.

    In the child, redis-py notices that the process id has changed, and resets the pool under its lock. A
    thread of the parent that held the lock during the fork does not exist in the child, which would wait for
    ever. So the child gets a new lock.
    """

    pid: int

    def reset(self) -> None:
        """Drop all connections."""
        # redis-py sets `pid` at the end of the first reset, so the first one has no `pid` yet.
        if getattr(self, "pid", os.getpid()) != os.getpid():
            self._lock = RLock()
        super().reset()  # type: ignore[misc]


class Pool(ForkSafe, redis.ConnectionPool):
    """Pool of connections to one server."""


# Sentinel

# Least time between two queries of the sentinels, in seconds and as a multiple of the time that a query
# takes.
ASK_SECONDS = 1.0
ASK_SHARE = 20


class MasterPool(ForkSafe, SentinelConnectionPool):
    """Pool of connections to the master.

    It queries the sentinels for each new connection, and once a second as well. Without the latter, a master
    that was replaced while it was working would get writes for ten more seconds, which are lost. Connections
    to a former master are closed, and so is a connection whose server replies READONLY.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._ask_at = monotonic() + ASK_SECONDS

    @classmethod
    def of(cls, sentinels: Sentinels, options: dict[str, Any]) -> Self:
        """Return a pool for the sentinels of a URL."""
        return cls(
            sentinels.master,
            _manager(sentinels, options),
            ssl=sentinels.tls,
            db=sentinels.number,
            **_tls_options(sentinels),
            **(sentinels.account | {key: value for key, value in options.items() if value is not None}),
        )

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        """Return a connection to the present master."""
        now = monotonic()
        if now > self._ask_at:
            # Set before the query, so that other threads do not query as well.
            self._ask_at = now + ASK_SECONDS
            self._query_master()
            self._ask_at = now + max(ASK_SECONDS, ASK_SHARE * (monotonic() - now))
        return super().get_connection(*arguments, **options)

    def _query_master(self) -> None:
        # The master may work while the sentinels do not.
        with suppress(redis.RedisError):
            self.get_master_address()  # type: ignore[no-untyped-call]


class ExplainingSentinel(Sentinel):
    """Sentinels whose error has the cause; that of redis-py lists the sentinels and hides it."""

    def discover_master(self, service_name: str) -> Any:
        """Return the address of the master. Raises MasterNotFoundError with its cause."""
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError as error:
            raise MasterNotFoundError(f"no sentinel names the master {service_name!r}") from (
                self._cause() or error
            )

    def _cause(self) -> redis.RedisError | None:
        try:
            self.sentinels[0].ping()
        except redis.RedisError as error:
            return error
        return None


def _tls_options(sentinels: Sentinels) -> dict[str, str]:
    return {"ssl_ca_certs": sentinels.ca_file} if sentinels.ca_file else {}


def _manager(sentinels: Sentinels, options: dict[str, Any]) -> ExplainingSentinel:
    # The sentinels share one timeout. With a whole one each, dead sentinels would add up.
    share = {
        name: options[name] / len(sentinels.addresses)
        for name in ("socket_timeout", "socket_connect_timeout")
        if options.get(name)
    }
    own: dict[str, Any] = {"retry": options["retry"], "protocol": options["protocol"], "ssl": sentinels.tls}
    own |= share | sentinels.own_account | _tls_options(sentinels)
    return ExplainingSentinel(list(sentinels.addresses), sentinel_kwargs=own)  # type: ignore[no-untyped-call]


# Servers in memory

SCHEME = "memory"
_servers: dict[str, FakeServer] = {}
_creation_lock = Lock()


def is_memory(url: str) -> bool:
    """Return whether the URL names a server in memory."""
    return url.startswith(f"{SCHEME}:")


def memory_pool(url: str, **options: Any) -> redis.ConnectionPool:
    """Return a pool for `memory://NAME[/NUMBER]`. One name is one server in the whole process."""
    from fakeredis import FakeRedisConnection  # noqa: PLC0415 - 150 ms that only a demo needs

    name, _, number = url.removeprefix(f"{SCHEME}://").partition("/")
    # With an interval, each poll of a subscription would send a PING.
    options |= {"health_check_interval": 0}
    server = _memory_server(name, int(number or 0))
    return redis.ConnectionPool(
        connection_class=FakeRedisConnection, server=server, db=int(number or 0), **options
    )


def _memory_server(name: str, number: int) -> FakeServer:
    """Return the server with its database `number`.

    The lock covers the database, too: without it, two threads that create it at the same time could each
    keep a different one.
    """
    from fakeredis import FakeServer  # noqa: PLC0415 - as above

    with _creation_lock:
        server = _servers.setdefault(name, FakeServer())
        server.dbs[number]
    return server

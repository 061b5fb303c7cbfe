"""Clients of Redis: one server, Sentinel, a cluster, or memory. The only package that creates them.

redis-py's two constructors differ: `Redis()` tries a refused port eleven times, `Redis.from_url()` once. A
client of this package sends each command once and waits no longer than its timeout. It may be created before
a fork and shared by threads: the pool notices that the process id has changed, and opens connections of its
own.

Main names:

* `client`: creates a client from a URL. `Pools` does so for django-redis.
* `guard.RedisGuard`: the one guard of a server, with a `guard.CircuitBreaker`, for all its clients.
* `Cluster` and `cluster.ClusterPool`: a cluster whose nodes are read side by side, within one timeout.
* `MasterPool`: connections to the master that sentinels name.
* `services`: the clients and the guard of redis-cache in this process.

What must never happen:

* A command is sent twice. One that timed out may have been carried out, and a repeated INCR counts twice.
* A connection whose reply was not read is used again: the next command would get that reply.
* An unresponsive server costs a process more than one timeout per second.
* An error text of Redis reaches a client: it may quote a command, and with it a password.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tecken.redisclient.cluster import Cluster, ClusterPool
from tecken.redisclient.pools import MasterPool, Pool, is_memory, memory_pool
from tecken.redisclient.urls import seeds, sentinels

__all__ = [
    "Cluster",
    "MasterPool",
    "Pools",
    "client",
    "client_of",
    "delete_all",
    "nodes",
    "seeds",
    "sentinels",
]

# A connection that was idle for longer is checked with PING first.
HEALTH_CHECK_SECONDS = 25
BATCH_KEYS = 1000


class Pools:
    """Factory of connection pools; the setting CONNECTION_POOL_CLASS of django-redis names it."""

    @staticmethod
    def from_url(url: str, **options: Any) -> redis.ConnectionPool:
        """Return a pool for a URL, with options of a connection. Raises ValueError for another scheme."""
        # RESP2, because maintenance notices of RESP3 may extend a timeout to ten seconds.
        ours: dict[str, Any] = {
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": HEALTH_CHECK_SECONDS,
            "protocol": 2,
        }
        if is_memory(url):
            return memory_pool(url, **(ours | options))
        if master := sentinels(url):
            return MasterPool.of(master, ours | options)
        if first := seeds(url):
            return ClusterPool(first, ours | options)
        return Pool.from_url(url, **(ours | options))


def client(url: str, *, timeout: float, connect_timeout: float, retry: Retry | None = None) -> redis.Redis:
    """Return a client for a URL, whose replies are bytes.

    The URL begins with `redis[s]://`, `sentinel[s]://`, `redis[s]-cluster://` or `unix://`. The client
    connects with the first command. `timeout` and `connect_timeout` are in seconds. Without `retry` no
    command is sent twice. Raises ValueError for another scheme.
    """
    new_client = client_of(
        Pools.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=connect_timeout,
            retry=retry or Retry(NoBackoff(), 0),
        )
    )
    new_client.auto_close_connection_pool = True
    return new_client


def client_of(connection_pool: redis.ConnectionPool) -> redis.Redis:
    """Return a client of a shared pool; REDIS_CLIENT_CLASS of django-redis names this function."""
    if isinstance(connection_pool, ClusterPool):
        return Cluster(connection_pool)
    return redis.Redis(connection_pool=connection_pool)


def nodes(client: redis.Redis) -> list[redis.Redis]:
    """Return one client for each server with a share of the keys.

    INFO, CONFIG and other commands are about one server, and a cluster refuses them. Raises what redis-py
    raises.
    """
    return client.nodes() if isinstance(client, Cluster) else [client]


def delete_all(client: redis.Redis) -> None:
    """Delete all keys of a database, a batch at a time. Raises what redis-py raises.

    FLUSHDB is a dangerous command, which the account of a site seldom may send.
    """
    names = client.scan_iter(count=BATCH_KEYS)
    while batch := list(islice(names, BATCH_KEYS)):
        client.unlink(*batch)

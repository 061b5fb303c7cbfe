"""The one factory of raw Redis clients. Stands beside `metrics` and `errors`: a word everyone may use.

redis-py's two constructors differ: `Redis()` tries a refused port eleven times, `Redis.from_url()` once.
A client made here never waits longer than it was told and asks once, because a command that timed out
may have been carried out: an INCR that is sent again counts twice. It may be made before a fork and
shared by threads: its pool sees that the process id changed and opens connections of its own.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tecken.redisclient import memory
from tecken.redisclient.cluster import Cluster
from tecken.redisclient.fanout import ClusterPool
from tecken.redisclient.pool import Pool
from tecken.redisclient.sentinel import MasterPool
from tecken.redisclient.urls import seeds, sentinels

__all__ = ["Cluster", "MasterPool", "Pools", "client", "client_of", "nodes", "seeds", "sentinels"]

HEALTH_CHECK_SECONDS = 25  # a connection idle for longer is tried with PING first


class Pools:
    """Makes pools of connections; django-redis knows it by name (CONNECTION_POOL_CLASS)."""

    @staticmethod
    def from_url(url: str, **options: Any) -> redis.ConnectionPool:
        """`options` are a connection's. RESP2, since nothing of ours needs RESP3 and its maintenance notices
        may stretch a timeout to ten seconds. Raises ValueError for another scheme."""
        ours: dict[str, Any] = {
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": HEALTH_CHECK_SECONDS,
            "protocol": 2,
        }
        if memory.is_memory(url):
            return memory.pool(url, **(ours | options))
        if master := sentinels(url):
            return MasterPool.of(master, ours | options)
        if first := seeds(url):
            return ClusterPool(first, ours | options)
        return Pool.from_url(url, **(ours | options))


def client(url: str, *, timeout: float, connect_timeout: float, retry: Retry | None = None) -> redis.Redis:
    """A client of `redis[s]://`, `sentinel[s]://`, `redis[s]-cluster://` or `unix://`; answers are bytes.

    Connects with the first command. `timeout` and `connect_timeout` are seconds; without `retry` nothing is
    sent twice. Raises ValueError for another scheme.
    """
    made = client_of(
        Pools.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=connect_timeout,
            retry=retry or Retry(NoBackoff(), 0),
        )
    )
    made.auto_close_connection_pool = True
    return made


def client_of(connection_pool: redis.ConnectionPool) -> redis.Redis:
    """Of a pool that others may share; django-redis knows it by name (REDIS_CLIENT_CLASS)."""
    if isinstance(connection_pool, ClusterPool):
        return Cluster(connection_pool)
    return redis.Redis(connection_pool=connection_pool)


def nodes(client: redis.Redis) -> list[redis.Redis]:
    """One client for each server that has a share of the keys: for INFO, CONFIG and the like, which a whole
    cluster has no answer to. Raises what redis-py raises."""
    return client.nodes() if isinstance(client, Cluster) else [client]

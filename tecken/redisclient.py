"""The one factory of raw Redis clients. Stands beside `metrics` and `errors`: a word everyone may use.

redis-py's two constructors differ: `Redis()` tries a refused port eleven times, `Redis.from_url()` once.
A client made here never waits longer than it was told and asks once, because a command that timed out
may have been carried out: an INCR that is sent again counts twice. It may be made before a fork and
shared by threads: its pool sees that the process id changed and opens connections of its own.
"""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HEALTH_CHECK_SECONDS = 25  # a connection idle for longer is tried with PING first


def client(url: str, *, timeout: float, connect_timeout: float, retry: Retry | None = None) -> redis.Redis:
    """A client of `redis://`, `rediss://` or `unix://`; answers are bytes. Connects with the first command.

    `timeout` and `connect_timeout` are seconds; without `retry` nothing is sent twice. RESP2, since
    nothing of ours needs RESP3 and its maintenance notices may stretch `timeout` to ten seconds. Raises
    ValueError for another scheme.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        socket_keepalive=True,
        retry=retry or Retry(NoBackoff(), 0),
        health_check_interval=HEALTH_CHECK_SECONDS,
        protocol=2,
    )

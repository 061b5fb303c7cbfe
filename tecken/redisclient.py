"""The one factory of raw Redis clients. Stands beside `metrics` and `errors`: a word everyone may use.

redis-py's two constructors differ: `Redis()` tries a refused port eleven times, `Redis.from_url()` once.
A client made here never waits longer than it was told and asks once, because a command that timed out
may have been carried out: an INCR that is sent again counts twice. It may be made before a fork and
shared by threads: its pool sees that the process id changed and opens connections of its own.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from tecken.demo import servers

HEALTH_CHECK_SECONDS = 25  # a connection idle for longer is tried with PING first
SENTINEL_PORT = 26379
ASK_SECONDS = 1.0  # between two questions to the sentinels
ASK_SHARE = 20  # and this many times as long as one took


class Sentinels(NamedTuple):
    """Who knows which server is the master. `account` is for that server, `own_account` for the sentinels:
    `username` and `password`, where there are any."""

    addresses: tuple[tuple[str, int], ...]
    master: str
    number: int
    account: dict[str, str]
    own_account: dict[str, str]
    tls: bool


def sentinels(url: str) -> Sentinels | None:
    """What `sentinel[s]://[[user]:password@]host[:port][,host[:port]...]/master[/number]` says.

    None for another scheme. The sentinels' own account is in the query: `?sentinel_password=...`.
    """
    split = urlsplit(url)
    if split.scheme not in ("sentinel", "sentinels"):
        return None
    user, _, hosts = split.netloc.rpartition("@")
    name, _, password = user.partition(":")
    master, _, number = split.path.strip("/").partition("/")
    own = {key.removeprefix("sentinel_"): value for key, value in parse_qsl(split.query)}
    return Sentinels(
        addresses=tuple(_address(host) for host in unquote(hosts).split(",")),
        master=unquote(master),
        number=int(number or 0),
        account=_account(unquote(name), unquote(password)),
        own_account=_account(own.get("username", ""), own.get("password", "")),
        tls=split.scheme == "sentinels",
    )


def _address(host: str) -> tuple[str, int]:
    split = urlsplit(f"//{host}")
    return split.hostname or "", split.port or SENTINEL_PORT


def _account(username: str, password: str) -> dict[str, str]:
    return {key: value for key, value in (("username", username), ("password", password)) if value}


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
        if servers.is_memory(url):
            return servers.pool(url, **(ours | options))
        named = sentinels(url)
        if named is None:
            return redis.ConnectionPool.from_url(url, **(ours | options))
        return _master_pool(named, ours | options)


class MasterPool(SentinelConnectionPool):
    """Connections to the master. Asks the sentinels with each new one, and each second besides: a master that
    was replaced while it was well answers for ten seconds more. Connections to it are then closed, and
    so is one whose server says READONLY.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._ask_at = monotonic() + ASK_SECONDS

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        now = monotonic()
        if now > self._ask_at:
            self._ask_at = now + ASK_SECONDS  # for the other threads
            self._ask()
            self._ask_at = now + max(ASK_SECONDS, ASK_SHARE * (monotonic() - now))
        return super().get_connection(*arguments, **options)

    def _ask(self) -> None:
        with suppress(redis.RedisError):  # the master may be well while the sentinels are not
            self.get_master_address()  # type: ignore[no-untyped-call]


def _master_pool(named: Sentinels, options: dict[str, Any]) -> MasterPool:
    return MasterPool(
        named.master,
        _manager(named, options),
        ssl=named.tls,
        db=named.number,
        **(named.account | {key: value for key, value in options.items() if value is not None}),
    )


def _manager(named: Sentinels, options: dict[str, Any]) -> Sentinel:
    """The sentinels share one timeout, so that dead ones do not add up."""
    share = {
        name: options[name] / len(named.addresses)
        for name in ("socket_timeout", "socket_connect_timeout")
        if options.get(name)
    }
    own: dict[str, Any] = {"retry": options["retry"], "protocol": options["protocol"], "ssl": named.tls}
    own |= share | named.own_account
    return Sentinel(list(named.addresses), sentinel_kwargs=own)  # type: ignore[no-untyped-call]


def client(url: str, *, timeout: float, connect_timeout: float, retry: Retry | None = None) -> redis.Redis:
    """A client of `redis://`, `rediss://`, `sentinel://`, `sentinels://` or `unix://`; answers are bytes.

    Connects with the first command. `timeout` and `connect_timeout` are seconds; without `retry` nothing is
    sent twice. Raises ValueError for another scheme.
    """
    pool = Pools.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        retry=retry or Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)

"""Connections to the master that sentinels name."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any, Self

import redis
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from tecken.redisclient.pool import ForkSafe
from tecken.redisclient.urls import Sentinels

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

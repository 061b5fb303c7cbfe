"""Connections to a master that sentinels name."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any, Self

import redis
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from tecken.redisclient.pool import ForkSafe
from tecken.redisclient.urls import Sentinels

ASK_SECONDS = 1.0  # between two questions to the sentinels
ASK_SHARE = 20  # and this many times as long as one took


class MasterPool(ForkSafe, SentinelConnectionPool):
    """Connections to the master. Asks the sentinels with each new one, and each second besides: a master that
    was replaced while it was well answers for ten seconds more. Connections to it are then closed, and
    so is one whose server says READONLY.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._ask_at = monotonic() + ASK_SECONDS

    @classmethod
    def of(cls, named: Sentinels, options: dict[str, Any]) -> Self:
        return cls(
            named.master,
            _manager(named, options),
            ssl=named.tls,
            db=named.number,
            **_tls_options(named),
            **(named.account | {key: value for key, value in options.items() if value is not None}),
        )

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


class ExplainingSentinel(Sentinel):
    """Sentinels whose error says why: redis-py's names them all and hides it."""

    def discover_master(self, service_name: str) -> Any:
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError as error:
            raise MasterNotFoundError(f"no sentinel names the master {service_name!r}") from (
                self._why() or error
            )

    def _why(self) -> redis.RedisError | None:
        try:
            self.sentinels[0].ping()
        except redis.RedisError as error:
            return error
        return None


def _tls_options(named: Sentinels) -> dict[str, str]:
    return {"ssl_ca_certs": named.ca_file} if named.ca_file else {}


def _manager(named: Sentinels, options: dict[str, Any]) -> ExplainingSentinel:
    """The sentinels share one timeout, so that dead ones do not add up."""
    share = {
        name: options[name] / len(named.addresses)
        for name in ("socket_timeout", "socket_connect_timeout")
        if options.get(name)
    }
    own: dict[str, Any] = {"retry": options["retry"], "protocol": options["protocol"], "ssl": named.tls}
    own |= share | named.own_account | _tls_options(named)
    return ExplainingSentinel(list(named.addresses), sentinel_kwargs=own)  # type: ignore[no-untyped-call]

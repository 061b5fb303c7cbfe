"""Counts of failures per client address, in `caches["default"]`.

Without the cache nobody is refused: a key has 256 random bits, so the limit spares the database and the log,
and is not what keeps guessers out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple, TypeVar

from django.core.cache import BaseCache, cache
from django.http import HttpRequest

from tecken import services
from tecken.errors import CouldNotAsk, TooOften
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.runtimeconfig.current import options

T = TypeVar("T")


class FailureLimit(NamedTuple):
    """So many in `seconds`, from the first one on."""

    failures: int
    seconds: float


class FailureCounts:
    """Counts of failures of one kind, in a cache that `guard` is for."""

    def __init__(
        self, name: str, counts: BaseCache, guard: RedisGuard, allowed: Callable[[], FailureLimit]
    ) -> None:
        self._name = name
        self._counts = counts
        self._allowed = allowed
        self._guard = guard

    def refuse(self, caller: str) -> None:
        """Refuse a caller after an unknown token. Raises TooOften when it has sent too many of them."""
        allowed = self._allowed()
        if self._ask(lambda: self._counts.get(self._key(caller), 0), 0) >= allowed.failures:
            raise TooOften(f"Too many failures from {caller}", allowed.seconds)

    def count(self, caller: str) -> None:
        self._ask(lambda: self._add(self._key(caller)), None)

    def _add(self, key: str) -> None:
        if not self._counts.add(key, 1, self._allowed().seconds):
            with suppress(ValueError):  # it has just expired
                self._counts.incr(key)

    def _key(self, caller: str) -> str:
        return f"failures:{self._name}:{caller}"

    def _ask(self, command: Callable[[], T], otherwise: T) -> T:
        try:
            return self._guard.call(command)
        except CouldNotAsk:
            return otherwise


@services.per_process
def failed_tokens() -> FailureCounts:
    return FailureCounts("token", cache, redis_services.cache_guard(), token_limit)


def token_limit() -> FailureLimit:
    now = options()
    return FailureLimit(now.failed_tokens, now.failure_seconds)


def login_pause(request: HttpRequest | None) -> timedelta:  # noqa: ARG001 - as django-axes asks for it
    return timedelta(seconds=options().failure_seconds)

"""Addresses of clients, behind proxies or not, and the failures that are counted for each.

It imports no model: log lines use it before Django is set up.

Failures are counted in `caches["default"]`. Without the cache every caller is admitted. A key has 256 random
bits and cannot be guessed: the limit protects the database and the log, not the tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.core.cache import BaseCache, cache
from django.http import HttpRequest

from tecken import services
from tecken.errors import LockedOut, Unavailable
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.runtimeconfig.current import options


def address(request: HttpRequest) -> str:
    """Return the client's address.

    Each trusted proxy appends the address that it received the request from. Earlier entries of the header
    come from the client, who can write anything there.
    """
    proxies: int = settings.TRUSTED_PROXIES
    parts = (part.strip() for part in request.headers.get("X-Forwarded-For", "").split(","))
    addresses = [part for part in parts if part]
    if proxies and addresses:
        return addresses[-min(proxies, len(addresses))]
    return str(request.META.get("REMOTE_ADDR", ""))


def network(address: str) -> str:
    """Return the network of one subscriber: the first 64 bits of an IPv6 address, a whole IPv4 address."""
    if ":" not in address:
        return address
    try:
        ip = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    return str(ip.ipv4_mapped or IPv6Network((ip, 64), strict=False))


# Failures

T = TypeVar("T")


class FailureLimit(NamedTuple):
    """Number of failures that are allowed within `seconds` of the first one."""

    failures: int
    seconds: float


class FailureCounts:
    """Counts of failures of one kind, in a cache whose server has the guard `guard`."""

    def __init__(
        self, name: str, counts: BaseCache, guard: RedisGuard, limit: Callable[[], FailureLimit]
    ) -> None:
        self._name = name
        self._counts = counts
        self._limit = limit
        self._guard = guard

    def refuse(self, caller: str) -> None:
        """Raise LockedOut if a caller has sent too many unknown tokens."""
        limit = self._limit()
        if self._call(lambda: self._counts.get(self._key(caller), 0), 0) >= limit.failures:
            raise LockedOut(f"Too many failures from {caller}", limit.seconds)

    def count(self, caller: str) -> None:
        """Count a failure of a caller."""
        self._call(lambda: self._add(self._key(caller)), None)

    def _add(self, key: str) -> None:
        if not self._counts.add(key, 1, self._limit().seconds):
            # The count may expire between the two commands. Then the failure was the last of its period.
            with suppress(ValueError):
                self._counts.incr(key)

    def _key(self, caller: str) -> str:
        return f"failures:{self._name}:{caller}"

    def _call(self, command: Callable[[], T], default: T) -> T:
        try:
            return self._guard.call(command)
        except Unavailable:
            return default


@services.per_process
def failed_tokens() -> FailureCounts:
    """Return the counts of unknown tokens."""
    return FailureCounts("token", cache, redis_services.cache_guard(), token_limit)


def token_limit() -> FailureLimit:
    """Return the limit of unknown tokens that is in force."""
    current = options()
    return FailureLimit(current.failed_tokens, current.failure_seconds)


def login_pause(request: HttpRequest | None) -> timedelta:  # noqa: ARG001 - the signature of AXES_COOLOFF_TIME
    """Return for how long django-axes refuses logins after too many failures."""
    return timedelta(seconds=options().failure_seconds)

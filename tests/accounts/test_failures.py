from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import RequestFactory
from django_redis import get_redis_connection
from django_redis.cache import RedisCache

from tecken.accounts.addresses import (
    FailureCounts,
    FailureLimit,
    address,
    failed_tokens,
    login_pause,
    network,
    token_limit,
)
from tecken.errors import LockedOut, Unavailable
from tecken.redisclient.guard import RedisGuard
from tests.support.options import Override
from tests.support.redis_server import RedisServer


def failures(limit: int = 2) -> FailureCounts:
    return FailureCounts(
        str(uuid.uuid4()), cache, RedisGuard("redis-cache"), lambda: FailureLimit(limit, 300)
    )


def test_refuse_after_the_allowed_failures_raises() -> None:
    counted = failures(limit=2)
    for _ in range(2):
        counted.refuse("192.0.2.1")
        counted.count("192.0.2.1")
    with pytest.raises(LockedOut, match=r"192\.0\.2\.1") as told:
        counted.refuse("192.0.2.1")
    assert told.value.retry_after == 300
    counted.refuse("192.0.2.2")


def test_count_of_failures_expires(clear_redis_cache: None) -> None:
    counted = failures()
    for _ in range(2):
        counted.count("2001:db8::1")
    server = get_redis_connection("default")
    (name,) = server.keys("*failures:*")
    assert 0 < server.ttl(name) <= 300


@pytest.fixture
def nobody() -> RedisCache:
    with RedisServer() as server:
        url = server.url
    return RedisCache(url, {"OPTIONS": {"SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 1}})


def test_refuse_without_cache_admits_everyone(nobody: RedisCache) -> None:
    counted = FailureCounts("token", nobody, RedisGuard("redis-cache"), lambda: FailureLimit(1, 300))
    for _ in range(3):
        counted.count("192.0.2.1")
        counted.refuse("192.0.2.1")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (2, "10.0.0.1, 203.0.113.9, 198.51.100.7", "203.0.113.9"),
        (2, "203.0.113.9", "203.0.113.9"),
    ],
)
def test_address_behind_proxies_is_the_one_that_a_trusted_proxy_saw(
    settings: object, proxies: int, forwarded: str, found: str
) -> None:
    settings.TRUSTED_PROXIES = proxies  # type: ignore[attr-defined]
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR="192.0.2.1")
    assert address(request) == found


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_network_of_an_address_is_that_of_one_subscriber(address: str, expected: str) -> None:
    assert network(address) == expected


def test_failure_limits_follow_the_options(runtime_options: Override) -> None:
    runtime_options(failed_tokens=7, failure_seconds=42.0)
    assert token_limit() == FailureLimit(7, 42.0)
    assert login_pause(None) == timedelta(seconds=42)
    assert failed_tokens() is failed_tokens()


def test_failure_counts_without_cache_try_it_once_per_second(nobody: RedisCache) -> None:
    """The breaker is open after the first try, so that only one of them waits."""
    guard = RedisGuard("redis-cache")
    counted = FailureCounts("token", nobody, guard, lambda: FailureLimit(1, 300))
    counted.count("192.0.2.1")
    with pytest.raises(Unavailable):
        guard.breaker.admit()

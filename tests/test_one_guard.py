"""An unresponsive redis-cache costs a process one timeout per second, for all users together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis
from celery import Celery
from django.test import RequestFactory
from pytest_django import Settings

from tecken import services
from tecken.accounts.addresses import failed_tokens
from tecken.accounts.sessions import session_user
from tecken.celery import app
from tecken.errors import NotFound, Unavailable
from tecken.jobs import sending
from tecken.limits import services as limits_services
from tecken.limits.port import Caller, Cost, Limit
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.runtimeconfig import current
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import Miss
from tecken.store import services as store_services
from tecken.store.port import PageKey
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.web.shared_reports import load_report, share_report
from tests.support.redis_server import RedisServer

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
CALLER, LIMITS = Caller("192.0.2.1"), [Limit("api", 100, "requests", "hour", "address")]

TIMEOUT_SECONDS = 3.0
"""A server that runs answers within this time, on a busy machine too."""


class Clock:
    """Stands still, so that no slow machine adds a second."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Site:
    """Counts the failures that the guard records, and every timeout, recorded or not."""

    def __init__(self, server: RedisServer, clock: Clock, guard: RedisGuard) -> None:
        self.server, self.clock, self.guard = server, clock, guard
        self.failures = self.timeouts = 0
        failed = guard.breaker.record_failure

        def count() -> None:
            self.failures += 1
            failed()

        guard.breaker.record_failure = count  # type: ignore[method-assign]


@pytest.fixture
def site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """All databases are on one server of the test's own, that answers until it is paused."""
    clock = Clock()
    guard = RedisGuard("redis-cache", clock=clock)
    with RedisServer() as server:
        base = server.url.removesuffix("/0")
        settings.REDIS_TIMEOUT_SECONDS = settings.REDIS_CONNECT_TIMEOUT_SECONDS = TIMEOUT_SECONDS
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": f"{base}/0"},
        }
        settings.REDIS_QUEUE_URL, settings.REDIS_COUNTERS_URL = f"{base}/1", f"{base}/3"
        monkeypatch.setattr(redis_services, "redis_cache", lambda: guard)
        services.discard_all()
        with Celery(broker=f"{base}/1") as sender:
            # Without the second that only a worker's BRPOP needs.
            sender.conf.broker_transport_options = {
                **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
                "socket_timeout": TIMEOUT_SECONDS,
            }
            site = Site(server, clock, guard)

            def count_timeout(*_arguments: object) -> None:
                site.timeouts += 1

            monkeypatch.setattr(redis.TimeoutError, "__init__", count_timeout)
            yield site
        app.set_current()
        server.resume()
        services.discard_all()


def take_a_turn() -> None:
    with symbolication_services.conversion_lock().hold(XUL):
        pass


def send_accesses() -> None:
    store_services.access_counts().note((f"key {number}", 1) for number in range(10_000))


def send_hits() -> None:
    store_services.hit_counts()._since = 0.0
    store_services.hit_counts().note([PageKey(XUL, "a" * 16, 1)], [])


def read_session() -> None:
    request = RequestFactory().get("/")
    request.COOKIES["sessionid"] = "a" * 32
    session_user(request)


USERS: dict[str, Callable[[], object]] = {
    "known": lambda: storage_services.presence_cache().get(["file"]),
    "journal": lambda: storage_services.lookup_log().absent([XUL], []),
    "board": lambda: symbolication_services.conversion_tracker().get([XUL]),
    "misses": lambda: storage_services.miss_counts().count([Miss("xul.pdb", "44E4")]),
    "herald": lambda: symbolication_services.invalidation_publisher().publish(XUL),
    "turns": take_a_turn,
    "limiter": lambda: limits_services.limiter().charge(CALLER, Cost(), LIMITS),
    "usage": lambda: limits_services.usage().flush(),
    "accesses": send_accesses,
    "tally": send_hits,
    "share": lambda: share_report(redis_services.counters_client(), redis_services.cache_guard(), "text"),
    "shared": lambda: load_report(redis_services.counters_client(), redis_services.cache_guard(), "name"),
    "failures": lambda: failed_tokens().refuse("192.0.2.1"),
    "sessions": read_session,
    "queue": lambda: sending.send("none", []),
}


def run_all(first: str) -> None:
    """Call every user once, `first` before all others."""
    for name in sorted(USERS, key=lambda name: name != first):
        with suppress(Unavailable, NotFound):
            USERS[name]()


# One user of each database: cache, queue, counters; and one that uses Django's cache.
@pytest.mark.parametrize("first", ["known", "queue", "limiter", "failures"])
def test_unresponsive_redis_cache_costs_all_users_one_timeout_per_second(site: Site, first: str) -> None:
    current.start()
    site.server.pause()
    run_all(first)
    run_all(first)
    assert (site.failures, site.timeouts) == (1, 1)
    site.clock.now += 1.0
    run_all(first)
    assert (site.failures, site.timeouts) == (2, 2)


def test_redis_cache_that_answers_again_serves_all_users(site: Site) -> None:
    site.server.pause()
    run_all("board")
    site.server.resume()
    site.clock.now += 1.0
    assert symbolication_services.conversion_tracker().get([XUL]) == ["idle"]
    run_all("board")
    assert (site.failures, site.guard.breaker.open) == (1, False)
    assert limits_services.limiter().charge(CALLER, Cost(), LIMITS).local is False

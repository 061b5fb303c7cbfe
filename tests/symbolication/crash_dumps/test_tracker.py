"""States of dumps and places of clients, on a real redis-cache."""

from __future__ import annotations

import pytest

from tecken import redisclient
from tecken.errors import TooManyAtOnce, Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.redisclient.services import cache_client
from tecken.symbolication.crash_dumps.tracker import (
    ALL,
    MAX_DUMPS,
    PLACE_SECONDS,
    DumpTracker,
    TrackedDump,
    client_key,
    state_key,
)
from tests.support.redis_server import free_port

DONE = TrackedDump("done")


@pytest.fixture
def tracker(clear_redis_cache: None) -> DumpTracker:
    return DumpTracker(cache_client(), RedisGuard("redis-cache"), lambda: 2, lambda: 3600.0)


def test_dump_waits_then_runs_then_ends(tracker: DumpTracker) -> None:
    tracker.claim("a", "client")
    assert tracker.get("a") == TrackedDump("waiting")
    assert tracker.begin("a") == ("waiting", 1)
    assert tracker.get("a") == TrackedDump("running")
    tracker.finish("a", TrackedDump("failed", "Malformed", "no dump"))
    assert tracker.get("a") == TrackedDump("failed", "Malformed", "no dump")
    assert tracker.begin("a") == ("failed", 0)


def test_state_and_places_expire(tracker: DumpTracker) -> None:
    tracker.claim("a", "client")
    keys = (state_key("a"), client_key("client"), ALL)
    lifetimes = [cache_client().ttl(key) for key in keys]
    assert lifetimes == [pytest.approx(seconds, abs=5) for seconds in (3600, PLACE_SECONDS, PLACE_SECONDS)]
    assert tracker.get("unknown") is None
    assert tracker.begin("unknown") == (None, 0)


def test_client_over_its_places_is_refused_and_others_are_not(tracker: DumpTracker) -> None:
    for dump_id in ("a", "b"):
        tracker.check_places("client")
        tracker.claim(dump_id, "client")
    with pytest.raises(TooManyAtOnce, match="2 minidumps of this client"):
        tracker.check_places("client")
    with pytest.raises(TooManyAtOnce, match="2 minidumps of this client"):
        tracker.claim("c", "client")
    assert tracker.get("c") is None
    tracker.claim("c", "other")
    tracker.finish("a", DONE)
    tracker.check_places("client")
    tracker.claim("d", "client")


def test_place_that_has_expired_is_free(tracker: DumpTracker) -> None:
    for dump_id in ("a", "b"):
        tracker.claim(dump_id, "client")
        cache_client().zadd(client_key("client"), {state_key(dump_id): 1})
    tracker.check_places("client")
    tracker.claim("c", "client")
    assert cache_client().zcard(client_key("client")) == 1


def test_site_with_too_many_dumps_is_unavailable(tracker: DumpTracker) -> None:
    cache_client().zadd(ALL, dict.fromkeys(map(str, range(MAX_DUMPS)), 1 << 40))
    with pytest.raises(Unavailable, match="too many minidumps"):
        tracker.claim("a", "client")


def test_dump_that_has_ended_waits_again_with_all_its_attempts(tracker: DumpTracker) -> None:
    assert tracker.claim("a", "client")
    for attempt in (1, 2):
        assert tracker.begin("a")[1] == attempt
    tracker.finish("a", TrackedDump("failed", "Unavailable", "no storage"))
    assert tracker.claim("a", "client")
    assert tracker.get("a") == TrackedDump("waiting")
    assert tracker.begin("a") == ("waiting", 1)


def test_dump_that_waits_or_runs_takes_no_second_place(tracker: DumpTracker) -> None:
    tracker.claim("a", "client")
    assert not tracker.claim("a", "other")
    tracker.begin("a")
    assert not tracker.claim("a", "other")
    assert tracker.get("a") == TrackedDump("running")
    assert cache_client().zcard(ALL) == 1


def test_attempt_that_is_postponed_does_not_count(tracker: DumpTracker) -> None:
    tracker.claim("a", "client")
    assert tracker.begin("a") == ("waiting", 1)
    assert tracker.begin("a") == ("running", 2)
    tracker.postpone("a")
    assert tracker.begin("a") == ("waiting", 2)


def test_finish_of_a_dump_whose_state_is_lost_makes_no_state(tracker: DumpTracker) -> None:
    tracker.finish("a", DONE)
    assert tracker.get("a") is None


def test_finish_wakes_the_requests_that_wait(tracker: DumpTracker) -> None:
    tracker.claim("a", "client")
    with cache_client().pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe("modules:answered")
        channel.get_message(timeout=5)
        tracker.finish("a", DONE)
        message = channel.get_message(timeout=5)
    assert message["data"] == state_key("a").encode()


def test_tracker_without_redis_is_unavailable() -> None:
    client = redisclient.client(f"redis://127.0.0.1:{free_port()}/0", timeout=1, connect_timeout=1)
    tracker = DumpTracker(client, RedisGuard("redis-cache"), lambda: 2, lambda: 3600.0)
    for call in (lambda: tracker.claim("a", "client"), lambda: tracker.get("a"), lambda: tracker.begin("a")):
        with pytest.raises(Unavailable):
            call()

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tecken import redisclient
from tecken.redisclient.guard import RedisGuard
from tecken.store.access_counts import (
    HOUR_SECONDS,
    MOST,
    SEND_SECONDS,
    SENT,
    HitCounts,
    ModuleHits,
    PageRequests,
    busiest,
    busiest_pages,
)
from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer, free_port

XUL, LIBC = ObjectId("xul.pdb", "A" * 33), ObjectId("libc.so", "B" * 33)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    made = redisclient.client(server.url, timeout=30, connect_timeout=30)
    made.flushall()
    with made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


def pages(module: ObjectId, count: int) -> list[PageKey]:
    return [PageKey(module, "0" * 16, number) for number in range(count)]


def test_hit_counts_of_several_processes_are_added_up(client: redis.Redis, clock: Clock) -> None:
    one, another = (HitCounts(client, RedisGuard("redis-cache"), clock) for _ in range(2))
    one.note([*pages(XUL, 3), *pages(LIBC, 2)], pages(XUL, 3))
    another.note(pages(XUL, 4), pages(XUL, 1))
    assert busiest(client, 10, clock.now) == []
    clock.now += SEND_SECONDS
    one.note([], [])
    another.note([], [])
    assert busiest(client, 10, clock.now) == [ModuleHits(XUL, 4, 3), ModuleHits(LIBC, 0, 2)]
    assert busiest(client, 1, clock.now) == [ModuleHits(XUL, 4, 3)]


def test_hit_counts_expire_after_two_hours(client: redis.Redis, clock: Clock) -> None:
    tally = HitCounts(client, RedisGuard("redis-cache"), clock)
    clock.now += SEND_SECONDS
    tally.note(pages(XUL, 1), pages(XUL, 1))
    assert busiest(client, 10, clock.now + HOUR_SECONDS) == [ModuleHits(XUL, 1, 0)]
    assert busiest(client, 10, clock.now + 2 * HOUR_SECONDS) == []
    assert [client.ttl(name) > 0 for name in client.scan_iter()] == [True, True]


def test_hit_counts_keep_the_busiest_modules(client: redis.Redis, clock: Clock) -> None:
    tally = HitCounts(client, RedisGuard("redis-cache"), clock)
    clock.now += SEND_SECONDS
    tally.note(pages(XUL, 5), pages(XUL, 5))
    for part in range(2):
        some = [PageKey(ObjectId(f"{part}-{n}", "C" * 33), "0" * 16, 0) for n in range(MOST)]
        clock.now += SEND_SECONDS
        tally.note(some, some)
    rows = busiest(client, 10 * MOST, clock.now)
    assert (rows[0], len(rows)) == (ModuleHits(XUL, 5, 0), MOST)


def test_busiest_pages_are_sorted_by_requests(client: redis.Redis, clock: Clock) -> None:
    tally = HitCounts(client, RedisGuard("redis-cache"), clock)
    for generation in ("0" * 16, "1" * 16):
        tally.note([PageKey(XUL, generation, 7)], [])
    tally.note([PageKey(LIBC, "0" * 16, 7)], [])
    clock.now += SEND_SECONDS
    tally.note([], [])
    assert busiest_pages(client, 10, clock.now) == [PageRequests(XUL, 7, 2), PageRequests(LIBC, 7, 1)]
    assert busiest_pages(client, 1, clock.now) == [PageRequests(XUL, 7, 2)]


def test_hit_counts_send_only_the_busiest_pages(client: redis.Redis, clock: Clock) -> None:
    tally = HitCounts(client, RedisGuard("redis-cache"), clock)
    tally.note([*pages(XUL, 2 * MOST), PageKey(XUL, "0" * 16, 3)], [])
    clock.now += SEND_SECONDS
    tally.note([], [])
    told = busiest_pages(client, 10 * MOST, clock.now)
    assert (told[0], len(told)) == (PageRequests(XUL, 3, 2), SENT)


def test_hit_counts_without_redis_raise_nothing(clock: Clock) -> None:
    away = redisclient.client(f"redis://127.0.0.1:{free_port()}/0", timeout=1, connect_timeout=1)
    guard = RedisGuard("redis-cache")
    tally = HitCounts(away, guard, clock)
    for _ in range(3):
        clock.now += SEND_SECONDS
        tally.note(pages(XUL, 1), [])
    assert guard.breaker.open

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from threading import Thread

import pytest
import redis
from celery import current_app
from django.conf import settings

from tecken.errors import Unavailable
from tecken.limits.models import ALL_TOKENS, DailyUsage, read_days, roll_up_days
from tecken.limits.models import Usage as Stored
from tecken.limits.port import Cost
from tecken.limits.usage import PROCESSES, Field, MemoryLedger, RedisLedger, UsageCounter, start_sender
from tecken.redisclient.guard import RedisGuard
from tecken.tasks import roll_up
from tests.support.quiet_usage import quiet_usage
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import wait_until

DAY = date(2026, 11, 21)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
KEY = "usage:20261121"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_COUNTERS_URL) as client:
        quiet_usage(monkeypatch, client)
        yield client


def usage_of(ledger: RedisLedger | MemoryLedger) -> UsageCounter:
    return UsageCounter(ledger, lambda: NOON)


def test_usage_counter_sends_counts_to_their_keys(client: redis.Redis) -> None:
    usage = usage_of(RedisLedger(client, RedisGuard("redis-cache")))
    usage.count("symbolicate", Cost(frames=40))
    usage.count("symbolicate", Cost(frames=2), 7)
    usage.count("upload", Cost(1, 0, 1000), 7)
    usage.count_version("v5")
    usage.flush()
    usage.count_version("v5")
    usage.flush()
    assert client.hgetall(KEY) == {
        b"symbolicate:requests:": b"1",
        b"symbolicate:frames:": b"40",
        b"symbolicate:requests:7": b"1",
        b"symbolicate:frames:7": b"2",
        b"upload:requests:7": b"1",
        b"upload:bytes:7": b"1000",
    }
    assert client.get("symbolicationcount:v5:20261121") == b"2"
    assert {client.ttl(KEY), client.ttl("symbolicationcount:v5:20261121")} == {-1}
    assert usage.processes == client.zcard(PROCESSES) == 1


def test_ledger_with_a_repeated_batch_counts_it_once(client: redis.Redis) -> None:
    ledger = RedisLedger(client, RedisGuard("redis-cache"))
    for _ in range(3):
        ledger.add("one", {(KEY, "api:requests:"): 5})
    ledger.add("two", {(KEY, "api:requests:"): 5})
    assert client.hgetall(KEY) == {b"api:requests:": b"10"}


class Unlucky(MemoryLedger):
    """Adds what it is sent, and then the answer is lost, as often as it is told."""

    lost = 0

    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:
        done = super().add(batch, counts)
        if self.lost:
            self.lost -= 1
            raise Unavailable("lost")
        return done


def test_usage_after_a_lost_reply_is_exact() -> None:
    ledger = Unlucky()
    usage = usage_of(ledger)
    for number in range(10):
        usage.count("api", Cost())
        ledger.lost = number % 3
        usage.flush()
    usage.flush()
    usage.flush()
    assert ledger.counts == {(KEY, "api:requests:"): 10}


def test_usage_counted_by_threads_is_exact() -> None:
    ledger = MemoryLedger()
    usage = usage_of(ledger)

    def count() -> None:
        for _ in range(2000):
            usage.count("api", Cost())

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        usage.flush()
    usage.flush()
    assert ledger.counts == {(KEY, "api:requests:"): 8000}


def test_usage_of_a_dropped_counter_is_sent() -> None:
    ledger = MemoryLedger()
    usage = usage_of(ledger)
    thread = start_sender(usage, 0.01)
    assert thread.daemon  # else it would keep a process from its end
    usage.count("api", Cost())
    gone = weakref.ref(usage)
    del usage
    wait_until(lambda: bool(ledger.counts), 30, "it is sent")
    wait_until(lambda: gone() is None, 30, "it is gone")
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.django_db
def test_roll_up_run_twice_has_the_same_rows(client: redis.Redis) -> None:
    client.hset(KEY, "symbolicate:frames:", 40)
    client.hset(KEY, "symbolicate:frames:7", 2)
    client.set("symbolicationcount:v5:20261121", 3)
    expected = [
        (DAY, "symbolicate", "frames", 0, 40),
        (DAY, "symbolicate", "frames", 7, 2),
        (DAY, "v5", "requests", 0, 3),
    ]
    for _ in range(3):
        assert roll_up_days(client, DAY) == 3
    assert rows() == expected
    assert read_days(client) == [DailyUsage(*row) for row in expected]
    assert rows(token=ALL_TOKENS) == [
        (DAY, "symbolicate", "frames", ALL_TOKENS, 42),
        (DAY, "v5", "requests", ALL_TOKENS, 3),
    ]


@pytest.mark.django_db
def test_roll_up_deletes_days_that_are_over(client: redis.Redis) -> None:
    client.hset(KEY, "api:requests:", 1)
    for name in ("day:20261120", "day:20261122", "month:202610", "month:202611"):
        client.hset(f"limits:quota:{name}", "api:user:3:requests", 1)
    roll_up_days(client, date(2026, 11, 23))
    assert client.exists(KEY)  # a batch may still come
    roll_up_days(client, date(2026, 11, 24))
    assert {name.decode() for name in client.scan_iter()} == {
        "limits:quota:day:20261122",
        "limits:quota:month:202611",
    }
    assert rows() == [(DAY, "api", "requests", 0, 1)]


@pytest.mark.django_db
def test_roll_up_after_redis_was_emptied_keeps_the_amounts(client: redis.Redis) -> None:
    client.hset(KEY, "api:requests:", 10)
    roll_up_days(client, DAY)
    client.hset(KEY, "api:requests:", 4)
    roll_up_days(client, DAY)
    assert rows() == [(DAY, "api", "requests", 0, 10)]
    client.hset(KEY, "api:requests:", 12)
    roll_up()
    assert rows() == [(DAY, "api", "requests", 0, 12)]


def test_roll_up_in_the_schedule_is_a_registered_task() -> None:
    assert "tecken.limits.tasks.roll_up" in current_app.tasks
    assert roll_up.name in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}


def rows(**filters: int) -> list[tuple[object, ...]]:
    found = Stored.objects.filter(**filters or {"token__gt": ALL_TOKENS}).order_by(
        "day", "what", "unit", "token"
    )
    return list(found.values_list("day", "what", "unit", "token", "amount"))


def test_usage_counter_without_redis_keeps_its_counts() -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url, socket_timeout=5) as counting:
        now = 0.0
        usage = usage_of(RedisLedger(counting, RedisGuard("redis-cache", clock=lambda: now)))
        usage.count("api", Cost())
        server.stop()
        usage.flush()
        usage.count("api", Cost())
        server.start()
        now = 1.0
        usage.flush()
        usage.flush()
        with redis.Redis.from_url(server.url) as client:
            assert client.hgetall(KEY) == {b"api:requests:": b"2"}


def test_ledger_without_redis_raises_with_the_cause() -> None:
    with redis.Redis.from_url(f"redis://127.0.0.1:{free_port()}") as refused:
        ledger = RedisLedger(refused, RedisGuard("redis-cache"))
        with pytest.raises(Unavailable, match=r"^redis-cache does not answer$"):
            ledger.add("one", {(KEY, "api:requests:"): 1})

"""What holds while Redis does not answer is decided for each limit, and costs one timeout per second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tecken import redisclient
from tecken.errors import RateLimited, Unavailable
from tecken.limits.limiter import LOCAL_SECONDS, RedisLimiter
from tecken.limits.port import Caller, Cost, Limit, Without
from tecken.redisclient.guard import RedisGuard
from tests.support.clock import Clock
from tests.support.redis_server import MUTE_AFTER, RedisServer, free_port

CALLER = Caller("192.0.2.1", 7, "3")
PROCESSES = 3


class Counted(redis.Connection):
    """How often somebody tried to connect."""

    tries = 0

    def connect(self) -> None:
        Counted.tries += 1
        super().connect()  # type: ignore[no-untyped-call]


def limit(without: Without) -> Limit:
    return Limit("symbolicate", 9, "requests", "day", "token", without)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def unreachable() -> Iterator[redis.Redis]:
    """A client of a port where no server listens."""
    Counted.tries = 0
    pool = redis.ConnectionPool(connection_class=Counted, host="127.0.0.1", port=free_port(), retry=None)
    with redis.Redis.from_pool(pool) as client:
        yield client


@pytest.fixture
def refused(unreachable: redis.Redis, clock: Clock) -> RedisLimiter:
    return RedisLimiter(unreachable, RedisGuard("redis-cache", clock=clock), lambda: PROCESSES, clock)


def test_open_limit_without_redis_allows_everything(refused: RedisLimiter) -> None:
    for _ in range(20):
        verdict = refused.charge(CALLER, Cost(), [limit("open")])
        assert (verdict.statuses, verdict.local) == ((), True)


def test_closed_limit_without_redis_is_unavailable(refused: RedisLimiter) -> None:
    with pytest.raises(Unavailable, match="requests-day-token cannot be counted while redis-cache"):
        refused.charge(
            CALLER, Cost(), [limit("closed"), limit("closed")._replace(unit="frames"), limit("open")]
        )


def test_local_limit_without_redis_is_divided_by_the_processes(refused: RedisLimiter) -> None:
    verdicts = [refused.charge(CALLER, Cost(), [limit("local")]) for _ in range(9 // PROCESSES)]
    assert [one.remaining for one in verdicts[-1].statuses] == [0]
    with pytest.raises(RateLimited):
        refused.charge(CALLER, Cost(), [limit("local")])


def test_local_limit_of_a_single_process_is_undivided(unreachable: redis.Redis, clock: Clock) -> None:
    alone = RedisLimiter(unreachable, RedisGuard("redis-cache", clock=clock), clock=clock)
    assert alone.charge(CALLER, Cost(9), [limit("local")]).statuses[0].remaining == 0


def test_limiter_before_its_first_decision_is_not_local(refused: RedisLimiter, clock: Clock) -> None:
    clock.now = 0.0
    assert not refused.local


def test_refund_of_a_local_decision_is_local(refused: RedisLimiter) -> None:
    cost = Cost(3)
    verdict = refused.charge(CALLER, cost, [limit("local")])
    refused.refund(CALLER, cost, [limit("local")], verdict)
    assert refused.charge(CALLER, cost, [limit("local")]).statuses[0].remaining == 0


def test_limiter_without_redis_tries_it_once_per_second(refused: RedisLimiter, clock: Clock) -> None:
    for _ in range(50):
        refused.charge(CALLER, Cost(), [limit("open")])
    assert Counted.tries == 1
    clock.now += 1.1
    for _ in range(50):
        refused.charge(CALLER, Cost(), [limit("open")])
    assert Counted.tries == 2


def test_limiter_without_redis_is_local(refused: RedisLimiter, clock: Clock) -> None:
    assert not refused.local
    refused.charge(CALLER, Cost(), [limit("open")])
    assert refused.local
    clock.now += LOCAL_SECONDS
    assert not refused.local


def test_limiter_after_a_mute_server_returned_uses_it(clock: Clock) -> None:
    with (
        RedisServer() as server,
        redisclient.client(server.url, timeout=MUTE_AFTER, connect_timeout=MUTE_AFTER) as client,
    ):
        limiter = RedisLimiter(client, RedisGuard("redis-cache", clock=clock), clock=clock)
        assert not limiter.charge(CALLER, Cost(), [limit("local")]).local
        server.pause()
        assert limiter.charge(CALLER, Cost(), [limit("local")]).local
        server.resume()
        clock.now += 1.1
        verdict = limiter.charge(CALLER, Cost(), [limit("local")])
        assert not verdict.local
        assert verdict.statuses[0].remaining in (6, 7)  # whether it heard the one that was given up

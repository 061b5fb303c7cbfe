"""Both limiters decide the same: the one in Redis, and the one in memory that shares its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
import redis
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tecken.errors import RateLimited, TooLarge
from tecken.limits.limiter import MemoryLimiter, RedisLimiter
from tecken.limits.port import Caller, Cost, Decision, Evaluation, Limit, Limiter, key_of
from tecken.redisclient.guard import RedisGuard
from tests.support.redis_server import RedisServer

ADA = Caller("192.0.2.1", 7, "3")
ANYBODY = Caller("192.0.2.1")
RATE = Limit("symbolicate", 5, "requests", "hour", "address")
FRAMES = Limit("symbolicate", 1000, "frames", "hour", "token")
DAILY = Limit("symbolicate", 5, "requests", "day", "token")
MONTHLY = Limit("upload", 10**12, "bytes", "month", "user")
EVERY = (RATE, FRAMES, DAILY, MONTHLY)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, socket_timeout=10) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["redis", "memory"])
def limiter(request: pytest.FixtureRequest, client: redis.Redis) -> Limiter:
    return RedisLimiter(client, RedisGuard("redis-cache")) if request.param == "redis" else MemoryLimiter()


def allowed(limiter: Limiter, caller: Caller, cost: Cost, limits: Sequence[Limit], times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            limiter.charge(caller, cost, limits)
        except RateLimited:
            continue
        count += 1
    return count


@pytest.mark.parametrize("limit", [RATE, DAILY], ids=str)
def test_limiter_allows_exactly_the_limit(limiter: Limiter, limit: Limit) -> None:
    caller = ANYBODY if limit.whose == "address" else ADA
    assert allowed(limiter, caller, Cost(), [limit], 12) == 5


def test_inspect_returns_the_state_of_several_callers_and_charges_nothing(limiter: Limiter) -> None:
    eve = Caller("192.0.2.2", 8, "4")
    limiter.charge(ADA, Cost(frames=400), [FRAMES, DAILY])
    for _ in range(2):
        found = limiter.inspect([(ADA, FRAMES), (eve, FRAMES), (ADA, DAILY), (eve, MONTHLY)])
        assert [status.limit for status in found] == [FRAMES, FRAMES, DAILY, MONTHLY]
        assert [status.remaining for status in found] == [600, 1000, 4, 10**12]
    assert limiter.inspect([]) == []


def test_limiter_returns_what_remains(limiter: Limiter) -> None:
    (status,) = limiter.charge(ADA, Cost(frames=400), [FRAMES]).statuses
    assert (status.limit, status.remaining) == (FRAMES, 600)
    assert 0 < status.reset <= 3.6
    (status,) = limiter.charge(ADA, Cost(), [DAILY]).statuses
    assert status.remaining == 4
    assert 0 < status.reset <= 86_400


def test_limiter_refusal_has_the_waiting_time(limiter: Limiter) -> None:
    limiter.charge(ADA, Cost(frames=1000), [FRAMES])
    with pytest.raises(RateLimited, match=r"^More than 1000 frames/hour per token$") as refused:
        limiter.charge(ADA, Cost(frames=500), [FRAMES])
    assert 1700 < refused.value.retry_after <= 1800
    assert refused.value.violated == ("frames-hour-token",)
    assert [one.remaining for one in refused.value.statuses] == [0]


def test_limiter_with_one_refusing_limit_charges_none(limiter: Limiter) -> None:
    limits = [DAILY, FRAMES]
    limiter.charge(ADA, Cost(frames=900), limits)
    assert allowed(limiter, ADA, Cost(frames=200), limits, 3) == 0
    statuses = limiter.charge(ADA, Cost(0), limits).statuses
    assert [one.remaining for one in statuses] == [4, 100]


def test_limiter_with_a_cost_of_zero_charges_nothing(limiter: Limiter, client: redis.Redis) -> None:
    for _ in range(3):
        assert [one.remaining for one in limiter.charge(ADA, Cost(0), [DAILY]).statuses] == [5]
    assert client.keys() == []


def test_limiter_with_a_cost_above_the_limit_raises_too_large(limiter: Limiter) -> None:
    with pytest.raises(TooLarge, match=r"^1001 frames at once are more than 1000 frames/hour per token$"):
        limiter.charge(ADA, Cost(frames=1001), [FRAMES])


def test_refund_restores_what_was_charged(limiter: Limiter) -> None:
    verdict = limiter.charge(ADA, Cost(frames=1000), [DAILY, FRAMES])
    limiter.refund(ADA, Cost(0, frames=1000), [DAILY, FRAMES], verdict)
    statuses = limiter.charge(ADA, Cost(0), [DAILY, FRAMES]).statuses
    assert [one.remaining for one in statuses] == [4, 1000]


def test_cost_that_is_spent_already_is_charged_above_the_limit(limiter: Limiter) -> None:
    limiter.spend(ADA, Cost(0, frames=3500), [DAILY, FRAMES])
    limiter.spend(ANYBODY, Cost(0, frames=1), [DAILY, FRAMES])
    requests, frames = limiter.charge(ADA, Cost(0), [DAILY, FRAMES]).statuses
    assert (requests.remaining, frames.remaining) == (5, 0)
    # 2,501 frames have to drain until one more is there: 1,000 in an hour.
    assert frames.reset == pytest.approx(2501 * 3.6, abs=60)
    assert allowed(limiter, ADA, Cost(0, frames=1), [FRAMES], 1) == 0


def test_limiter_with_a_known_user_does_not_count_the_address(limiter: Limiter) -> None:
    assert limiter.charge(ADA, Cost(), [RATE]) == Decision()
    assert limiter.charge(ANYBODY, Cost(), [DAILY, FRAMES, MONTHLY]) == Decision()


def test_limiter_counts_callers_and_scopes_separately(limiter: Limiter) -> None:
    for other in (Caller("192.0.2.2"), ANYBODY):
        assert allowed(limiter, other, Cost(), [RATE], 6) == 5
    assert allowed(limiter, ANYBODY, Cost(), [RATE._replace(scope="download")], 6) == 5


def test_limiter_after_a_change_of_the_limit_keeps_the_level(limiter: Limiter) -> None:
    assert allowed(limiter, ADA, Cost(), [DAILY], 6) == 5
    assert allowed(limiter, ADA, Cost(), [DAILY._replace(quantity=8)], 6) == 3
    with pytest.raises(RateLimited) as refused:
        limiter.charge(ADA, Cost(), [DAILY._replace(quantity=2)])
    assert refused.value.statuses[0].remaining == 0


def test_memory_limiter_refills_a_rate_by_its_clock() -> None:
    now = [1_000_000.0]
    limiter = MemoryLimiter(lambda: now[0])
    assert allowed(limiter, ANYBODY, Cost(), [RATE], 6) == 5
    now[0] += 3600 / 5
    assert allowed(limiter, ANYBODY, Cost(), [RATE], 6) == 1


def test_limiter_keys_have_the_documented_names(client: redis.Redis) -> None:
    limiter = RedisLimiter(client, RedisGuard("redis-cache"))
    limiter.charge(ANYBODY, Cost(), [RATE])
    at = limiter.charge(ADA, Cost(1, 10, 100), EVERY).at
    day = datetime.fromtimestamp(at / 1e6, UTC)
    rates = {key_of(RATE, ANYBODY), key_of(FRAMES, ADA)}
    quotas = {f"limits:quota:day:{day:%Y%m%d}", f"limits:quota:month:{day:%Y%m}"}
    assert {name.decode() for name in client.scan_iter()} == rates | quotas
    assert rates == {
        "limits:rate:symbolicate:address:192.0.2.1:requests:hour",
        "limits:rate:symbolicate:token:7:frames:hour",
    }
    assert all(client.ttl(name) > 0 for name in rates)
    assert [client.ttl(name) for name in quotas] == [-1, -1]  # nothing with an expiry is safe there
    assert client.hgetall(f"limits:quota:month:{day:%Y%m}") == {b"upload:user:3:bytes": b"100"}


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


Step = tuple[int, Cost]
"""Microseconds since the step before, and what is spent then; below zero it is given back."""

steps = st.lists(
    st.tuples(
        st.integers(0, 40 * 86_400 * 1_000_000) | st.integers(0, 3_600_000_000) | st.just(0),
        st.builds(Cost, st.integers(-2, 3), st.integers(-300, 600), st.integers(-(10**11), 10**12)),
    ),
    max_size=12,
)


@hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(begin=st.integers(moment("2024-01-01"), moment("2033-01-01")), sequence=steps)
@example(
    begin=moment("2028-02-28T23:59:59.999999"), sequence=[(0, Cost()), (1, Cost()), (86_400_000_000, Cost())]
)
@example(begin=moment("2026-12-31T23:59:59"), sequence=[(0, Cost(5, 0, 7)), (1_000_000, Cost(1, 0, 7))])
@example(begin=moment("2027-02-28T12:00:00"), sequence=[(0, Cost(5, 0, 7)), (43_200_000_000, Cost(5, 0, 7))])
def test_limiters_in_redis_and_memory_agree(client: redis.Redis, begin: int, sequence: list[Step]) -> None:
    client.flushall()
    there, here = RedisLimiter(client, RedisGuard("redis-cache")), MemoryLimiter()
    limits, caller, at = [*EVERY[1:], RATE._replace(whose="user")], ADA, begin
    for pause, cost in sequence:
        at += pause
        both: list[Callable[[], Evaluation]] = [
            lambda cost=cost, at=at: there._evaluate(caller, cost, limits, at),  # type: ignore[misc]
            lambda cost=cost, at=at: here._evaluate(caller, cost, limits, at),  # type: ignore[misc]
        ]
        assert shape(both[0]()) == shape(both[1]())


def shape(decision: Evaluation) -> object:
    """Without the rounding of the last microseconds."""
    rows = [(one.limit.name, one.remaining, round(one.reset, 2)) for one in decision.statuses]
    return decision.allowed, decision.at, rows, decision.refusing

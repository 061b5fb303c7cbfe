from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from redis.exceptions import LockError, MaxConnectionsError

from tecken.errors import StoreUnavailable, Unavailable
from tecken.redisclient.guard import RedisGuard


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> RedisGuard:
    return RedisGuard("redis-cache", clock=clock)


def failing(error: Exception) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def test_guard_call_returns_the_reply(guard: RedisGuard) -> None:
    assert guard.call(divmod, 7, 2) == (3, 1)


@pytest.mark.parametrize("error", [redis.ConnectionError("x"), redis.TimeoutError("x"), OSError("x")])
def test_guard_after_a_failure_raises_without_a_try_until_the_pause_ends(
    guard: RedisGuard, clock: Clock, error: Exception
) -> None:
    with pytest.raises(Unavailable, match=r"^redis-cache does not answer$") as caught:
        guard.call(failing(error))
    assert caught.value.__cause__ is error
    with pytest.raises(Unavailable, match="not asked") as caught:
        guard.call(pytest.fail, "tried")
    assert (caught.value.__cause__, caught.value.retry_after) == (None, 1.0)
    clock.now = 1.0
    assert guard.call(divmod, 7, 2) == (3, 1)
    assert not guard.breaker.open


def test_guard_treats_an_error_reply_as_an_answer(guard: RedisGuard) -> None:
    guard.breaker.record_failure()
    with (
        pytest.raises(Unavailable, match=r"^redis-cache answered with OutOfMemoryError$"),
        guard.guarded(admit=False),
    ):
        raise redis.exceptions.OutOfMemoryError("SET password")
    assert not guard.breaker.open


def test_guard_passes_a_lost_lock_on(guard: RedisGuard) -> None:
    guard.breaker.record_failure()
    with pytest.raises(LockError), guard.guarded(admit=False):
        raise LockError("not owned")
    assert not guard.breaker.open


def test_guard_with_a_full_pool_stays_closed(guard: RedisGuard) -> None:
    with pytest.raises(Unavailable):
        guard.call(failing(MaxConnectionsError("x")))
    assert not guard.breaker.open


def test_guard_passes_other_errors_on(guard: RedisGuard) -> None:
    with pytest.raises(KeyError):
        guard.call(failing(KeyError("x")))
    assert not guard.breaker.open


def test_guard_observed_block_always_runs_and_keeps_its_error(guard: RedisGuard) -> None:
    for _ in range(2):
        with pytest.raises(redis.TimeoutError), guard.observed():
            raise redis.TimeoutError("x")
    assert guard.breaker.open
    with guard.observed():
        pass
    assert not guard.breaker.open


def test_guard_raises_the_errors_of_its_server(clock: Clock) -> None:
    guard = RedisGuard(
        "the store", error=StoreUnavailable, describe=lambda error: str(error).upper(), clock=clock
    )
    with pytest.raises(StoreUnavailable, match=r"^MUTE$"):
        guard.call(failing(redis.TimeoutError("mute")))
    with pytest.raises(StoreUnavailable, match=r"^the store: not asked"):
        guard.call(pytest.fail, "tried")

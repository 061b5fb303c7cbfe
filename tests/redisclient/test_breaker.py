from __future__ import annotations

import pytest

from tecken.errors import StoreUnavailable, Unavailable
from tecken.redisclient.guard import CircuitBreaker
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("the server", pause=1.0, clock=clock)


def test_breaker_without_failures_admits_calls(breaker: CircuitBreaker) -> None:
    breaker.admit()
    breaker.admit()


def test_breaker_refusal_has_the_waiting_time(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.record_failure()
    clock.now = 0.75
    with pytest.raises(Unavailable) as caught:
        breaker.admit()
    assert caught.value.retry_after == 0.25


def test_breaker_when_open_admits_one_call_per_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.record_failure()
    clock.now = 1.0
    breaker.admit()
    with pytest.raises(Unavailable):
        breaker.admit()
    clock.now = 2.0
    breaker.admit()


def test_breaker_after_an_answer_is_closed(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.record_failure()
    clock.now = 1.0
    breaker.admit()
    breaker.record_answer()
    breaker.admit()
    breaker.admit()


def test_breaker_opens_after_the_failures_in_a_row(clock: Clock) -> None:
    breaker = CircuitBreaker("the server", failures=2, pause=1.0, clock=clock)
    breaker.record_failure()
    breaker.record_answer()
    breaker.record_failure()
    breaker.admit()
    breaker.record_failure()
    with pytest.raises(Unavailable):
        breaker.admit()


def test_breaker_raises_the_error_of_its_owner(clock: Clock) -> None:
    breaker = CircuitBreaker("the store", clock=clock, raises=StoreUnavailable)
    breaker.record_failure()
    with pytest.raises(StoreUnavailable, match="the store: not asked"):
        breaker.admit()

"""Polls and subscriptions of a fleet, on a clock of the test."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

from tecken.runtimeconfig.pace import LONGEST_PAUSE, Pace

FLEET = 1000
INTERVAL = 1.0


class Clock:
    """Time that passes when the test wants it to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fleet(clock: Clock) -> list[Pace]:
    return [Pace(INTERVAL, clock, Random(number)) for number in range(FLEET)]


def busiest(moments: list[float], seconds: float = 0.1) -> int:
    """Return the most moments within one period."""
    return max(Counter(int(moment / seconds) for moment in moments).values())


def test_pace_of_a_start_is_due_at_once() -> None:
    pace = Pace(INTERVAL, Clock())
    assert pace.is_tick_due()
    assert pace.is_subscription_due()


def test_pace_of_a_fleet_that_lost_its_subscriptions_spreads_new_ones() -> None:
    clock = Clock()
    paces = fleet(clock)
    for pace in paces:
        pace.plan_subscription()
    moments = [pace.subscribe_at - clock.now for pace in paces]
    assert 0 <= min(moments) < max(moments) <= INTERVAL
    assert busiest(moments) < 1.5 * FLEET * 0.1 / INTERVAL


def test_pace_polls_within_an_interval_whatever_happens_to_subscriptions() -> None:
    clock = Clock()
    for pace in fleet(clock):
        pace.plan_tick()
        planned = pace.tick_at
        pace.plan_subscription()
        assert pace.tick_at == planned
        assert clock.now < planned <= clock.now + 0.9 * INTERVAL


def test_pace_of_a_fleet_started_at_once_spreads_its_polls() -> None:
    clock = Clock()
    moments = []
    for pace in fleet(clock):
        clock.now = 1000.0
        for _ in range(100):
            pace.plan_tick()
            clock.now = pace.tick_at
        moments.append(clock.now % INTERVAL)
    assert busiest(moments) < 1.5 * FLEET * 0.1 / INTERVAL


def test_pace_of_failing_subscriptions_doubles_their_pause() -> None:
    clock = Clock()
    paces = fleet(clock)
    longest = []
    for _ in range(7):
        for pace in paces:
            pace.plan_subscription()
        longest.append(max(pace.subscribe_at for pace in paces) - clock.now)
    assert all(1.8 < later / earlier < 2.2 for earlier, later in pairwise(longest[:5]))
    assert longest[-1] <= LONGEST_PAUSE
    for pace in paces:
        pace.reset_pause()
        pace.plan_subscription()
        assert pace.subscribe_at <= clock.now + INTERVAL

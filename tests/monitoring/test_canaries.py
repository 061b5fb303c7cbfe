"""Lateness of canaries, with a clock of the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tecken.jobs.keys import QUEUES
from tecken.monitoring.degraded import LATE_SECONDS, PERIOD_SECONDS, CanaryWatch
from tecken.settings import CELERY_BEAT_SCHEDULE
from tests.support.clock import Clock

Wait = Callable[[float], None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> CanaryWatch:
    return CanaryWatch(clock)


def late(watch: CanaryWatch) -> list[str]:
    return list(watch.late)


@pytest.mark.parametrize("age", [None, 86_400.0])
def test_watch_after_start_expects_nothing(watch: CanaryWatch, clock: Clock, age: float | None) -> None:
    clock.now += LATE_SECONDS - 1
    watch.update({"convert": age})
    assert late(watch) == []


@pytest.mark.parametrize("age", [None, LATE_SECONDS + 1])
def test_watch_after_four_periods_finds_queues_that_are_late(
    watch: CanaryWatch, clock: Clock, age: float | None
) -> None:
    clock.now += LATE_SECONDS
    watch.update({"convert": age, "upload": LATE_SECONDS})
    assert late(watch) == ["convert"]
    watch.update({"convert": 0.0, "upload": 0.0})
    assert late(watch) == []


def test_watch_excused_expects_nothing_for_four_periods(watch: CanaryWatch, clock: Clock) -> None:
    clock.now += LATE_SECONDS
    watch.update({"convert": None})
    watch.postpone()
    assert late(watch) == []
    clock.now += LATE_SECONDS - 1
    watch.update({"convert": None})
    assert late(watch) == []
    clock.now += 1
    watch.update({"convert": None})
    assert late(watch) == ["convert"]


@pytest.mark.parametrize("queue", QUEUES)
def test_schedule_sends_a_canary_into_each_queue_as_often_as_the_watch_expects(queue: str) -> None:
    entry: dict[str, object] = CELERY_BEAT_SCHEDULE[f"canary-{queue}"]
    assert entry["schedule"] == PERIOD_SECONDS

"""The queue over time, drawn from the samples that beat has taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import redis

from tecken.monitoring.health.series import EVERY_SECONDS, Sample, load_samples
from tecken.redisclient import services as redis_services
from tecken.web.charts.timeline import MARKS, Reading, Timeline, timeline
from tecken.web.templatetags.site import seconds

HOURS = tuple(MARKS)
FEW, SHORT = 4, 0.1
"""An axis goes up to so many jobs, or seconds, at least: one job should not look like many."""
ROWS = 12


class Row(NamedTuple):
    """The most in one of ROWS stretches, which began `at`. None: nobody could tell."""

    at: datetime
    queued: float | None
    canary: float | None


class Pictures(NamedTuple):
    """Jobs that have not ended, and for how long the slowest queue's wait."""

    queued: Timeline
    canary: Timeline
    rows: Sequence[Row]


def hours_in(text: str) -> int:
    return int(text) if text in map(str, HOURS) else HOURS[0]


def drawn(hours: int) -> Pictures | None:
    """None when redis-cache, which has the samples, does not answer."""
    try:
        taken = load_samples(redis_services.counters_client(), round(hours * 3600 / EVERY_SECONDS))
    except redis.RedisError:
        return None
    return pictures(taken, hours, time.time())


def pictures(taken: Sequence[Sample], hours: int, now: float) -> Pictures:
    queued = [(one.at, one.queued) for one in taken]
    canary = [(one.at, one.canary) for one in taken]
    return Pictures(
        _timeline(queued, hours, now, _jobs, FEW),
        _timeline(canary, hours, now, seconds, SHORT),
        list(_rows(queued, canary, hours * 3600 / ROWS, now)),
    )


def _timeline(
    readings: Sequence[Reading], hours: int, now: float, label: Callable[[float], str], least: float
) -> Timeline:
    small = all(value is None or value <= least for _at, value in readings)
    return timeline(readings, hours, now, label, most=least if small else None)


def _jobs(number: float) -> str:
    return f"{number:,.0f}"


def _rows(queued: Sequence[Reading], canary: Sequence[Reading], stretch: float, now: float) -> Iterator[Row]:
    """The latest first."""
    for number in range(ROWS):
        start = now - (number + 1) * stretch
        most = [_most(readings, start, start + stretch) for readings in (queued, canary)]
        yield Row(datetime.fromtimestamp(start, UTC), *most)


def _most(readings: Sequence[Reading], start: float, end: float) -> float | None:
    known = (value for at, value in readings if value is not None and start <= at < end)
    return max(known, default=None)

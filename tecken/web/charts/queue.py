"""Charts of the queue: unfinished jobs, and the latency of the slowest queue, from the samples of beat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import redis

from tecken.monitoring.health.measurements import EVERY_SECONDS, Sample, load_samples
from tecken.redisclient import services as redis_services
from tecken.web.charts.timeline import MARKS, Reading, Timeline, draw_timeline
from tecken.web.formatting import seconds

HOURS = tuple(MARKS)
# An axis ends at this many jobs or seconds at least: a single job should not look like a long queue.
MIN_JOBS, MIN_SECONDS = 4, 0.1
ROWS = 12


class QueueRow(NamedTuple):
    """Maximum of each value in one of ROWS periods, which began `at`. None: not known."""

    at: datetime
    queued: float | None
    canary: float | None


class QueueCharts(NamedTuple):
    """Unfinished jobs, and the test-job latency of the slowest queue."""

    queued: Timeline
    canary: Timeline
    rows: Sequence[QueueRow]


def parse_hours(text: str) -> int:
    """Return the period that a query parameter names, or the default."""
    return int(text) if text in map(str, HOURS) else HOURS[0]


def load_charts(hours: int) -> QueueCharts | None:
    """Return the charts, or None if redis-cache, which has the samples, does not respond."""
    try:
        taken = load_samples(redis_services.counters_client(), round(hours * 3600 / EVERY_SECONDS))
    except redis.RedisError:
        return None
    return draw_charts(taken, hours, time.time())


def draw_charts(taken: Sequence[Sample], hours: int, now: float) -> QueueCharts:
    """Return the charts of these samples."""
    queued = [(sample.at, sample.queued) for sample in taken]
    canary = [(sample.at, sample.canary) for sample in taken]
    return QueueCharts(
        _draw(queued, hours, now, _format_jobs, MIN_JOBS),
        _draw(canary, hours, now, seconds, MIN_SECONDS),
        list(_table(queued, canary, hours * 3600 / ROWS, now)),
    )


def _draw(
    readings: Sequence[Reading], hours: int, now: float, label: Callable[[float], str], least: float
) -> Timeline:
    is_small = all(value is None or value <= least for _at, value in readings)
    return draw_timeline(readings, hours, now, label, most=least if is_small else None)


def _format_jobs(number: float) -> str:
    return f"{number:,.0f}"


def _table(
    queued: Sequence[Reading], canary: Sequence[Reading], period: float, now: float
) -> Iterator[QueueRow]:
    """Yield rows for the table, the latest first."""
    for number in range(ROWS):
        start = now - (number + 1) * period
        maxima = [_maximum(readings, start, start + period) for readings in (queued, canary)]
        yield QueueRow(datetime.fromtimestamp(start, UTC), *maxima)


def _maximum(readings: Sequence[Reading], start: float, end: float) -> float | None:
    known = (value for at, value in readings if value is not None and start <= at < end)
    return max(known, default=None)

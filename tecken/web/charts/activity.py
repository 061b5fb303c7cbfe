"""Charts of activity: requests and hit ratio in the last hour, and the queue.

Those of the queue are unfinished jobs and the latency of the slowest queue, from the samples of beat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

import redis

from tecken.monitoring.health.measurements import EVERY_SECONDS, Rate, Sample, compute_rates, load_samples
from tecken.redisclient import services as redis_services
from tecken.web.charts.drawing import (
    MARKS,
    Axis,
    ChartFrame,
    Point,
    Reading,
    Timeline,
    draw_timeline,
    round_axis,
)
from tecken.web.formatting import seconds

HOUR = 3600
SAMPLES = int(HOUR / EVERY_SECONDS) + 1
# The table has every tenth rate, one for each five minutes.
ROW_STEP = 10
WIDTH, HEIGHT = 480.0, 90.0

ActivityReading = tuple[float, float | None]


class ActivityCurve(NamedTuple):
    """Chart of one value, with a path for each stretch of known values.

    `latest` is the last known value, `top` the value at the upper edge.
    """

    latest: float | None
    top: float
    lines: tuple[str, ...]
    areas: tuple[str, ...]


class ActivityRow(NamedTuple):
    """Row of the table with the same numbers."""

    at: datetime
    requests: float | None
    hit_ratio: float | None


class ActivityCharts(NamedTuple):
    """Symbolication requests per second, and the share of pages that the store had."""

    requests: ActivityCurve
    hits: ActivityCurve
    rows: tuple[ActivityRow, ...]


def load_activity() -> ActivityCharts | None:
    """Return the charts of the last hour, or None before there are two samples.

    Raises:
        redis.RedisError: redis-cache, which has the samples, does not respond.
    """
    measured = list(compute_rates(load_samples(redis_services.counters_client(), SAMPLES)))
    if not measured:
        return None
    end = measured[-1].at
    requests = _draw([(rate.at, rate.requests) for rate in measured], end)
    hits = _draw([(rate.at, rate.hit_ratio) for rate in measured], end, Axis(0, 1, ()))
    return ActivityCharts(requests, hits, _table(measured))


def _draw(readings: Sequence[ActivityReading], end: float, y: Axis | None = None) -> ActivityCurve:
    known = [value for _at, value in readings if value is not None]
    y = y or round_axis(0, max(known, default=0))
    frame = ChartFrame(Axis(end - HOUR, end, ()), y, WIDTH, HEIGHT)
    stretches = list(_stretches([reading for reading in readings if reading[0] >= end - HOUR]))
    return ActivityCurve(
        known[-1] if known else None,
        y.high,
        # The short horizontal line makes a single value visible as a dot.
        tuple(f"{frame.line(stretch)} h.01" for stretch in stretches),
        tuple(frame.area(stretch) for stretch in stretches),
    )


def _stretches(readings: Sequence[ActivityReading]) -> list[list[Point]]:
    runs = groupby(readings, key=lambda reading: reading[1] is not None)
    return [[(at, value or 0.0) for at, value in run] for is_known, run in runs if is_known]


def _table(measured: Sequence[Rate]) -> tuple[ActivityRow, ...]:
    """Return rows for the table, the latest first."""
    return tuple(
        ActivityRow(datetime.fromtimestamp(rate.at, UTC), rate.requests, rate.hit_ratio)
        for rate in list(measured)[::-1][::ROW_STEP]
    )


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
        _draw_samples(queued, hours, now, _format_jobs, MIN_JOBS),
        _draw_samples(canary, hours, now, seconds, MIN_SECONDS),
        list(_queue_table(queued, canary, hours * 3600 / ROWS, now)),
    )


def _draw_samples(
    readings: Sequence[Reading], hours: int, now: float, label: Callable[[float], str], least: float
) -> Timeline:
    is_small = all(value is None or value <= least for _at, value in readings)
    return draw_timeline(readings, hours, now, label, most=least if is_small else None)


def _format_jobs(number: float) -> str:
    return f"{number:,.0f}"


def _queue_table(
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

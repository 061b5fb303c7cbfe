"""Charts of the home page: requests and hit ratio in the last hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from tecken.monitoring.health.measurements import EVERY_SECONDS, Rate, compute_rates, load_samples
from tecken.redisclient import services as redis_services
from tecken.web.charts.svg import Axis, ChartFrame, Point, round_axis

HOUR = 3600
SAMPLES = int(HOUR / EVERY_SECONDS) + 1
# The table has every tenth rate, one for each five minutes.
ROW_STEP = 10
WIDTH, HEIGHT = 480.0, 90.0

Reading = tuple[float, float | None]


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


def _draw(readings: Sequence[Reading], end: float, y: Axis | None = None) -> ActivityCurve:
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


def _stretches(readings: Sequence[Reading]) -> list[list[Point]]:
    runs = groupby(readings, key=lambda reading: reading[1] is not None)
    return [[(at, value or 0.0) for at, value in run] for is_known, run in runs if is_known]


def _table(measured: Sequence[Rate]) -> tuple[ActivityRow, ...]:
    """Return rows for the table, the latest first."""
    return tuple(
        ActivityRow(datetime.fromtimestamp(rate.at, UTC), rate.requests, rate.hit_ratio)
        for rate in list(measured)[::-1][::ROW_STEP]
    )

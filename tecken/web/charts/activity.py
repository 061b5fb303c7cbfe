"""What the site did in the last hour, as two small pictures and a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from tecken.monitoring.health.series import EVERY_SECONDS, Rate, compute_rates, load_samples
from tecken.redisclient import services as redis_services
from tecken.web.charts.svg import Axis, Frame, Point, axis

HOUR = 3600
SAMPLES = int(HOUR / EVERY_SECONDS) + 1
ROW_EVERY = 10  # rates, so five minutes
WIDTH, HEIGHT = 480.0, 90.0

Known = tuple[float, float | None]


class Curve(NamedTuple):
    """`now` is the last value that is known. A picture has a part for each stretch of known values."""

    now: float | None
    top: float
    lines: tuple[str, ...]
    areas: tuple[str, ...]


class Row(NamedTuple):
    at: datetime
    requests: float | None
    hit_ratio: float | None


class Pulse(NamedTuple):
    """Symbolication requests a second, and the share of pages that the store had."""

    requests: Curve
    hits: Curve
    rows: tuple[Row, ...]


def pulse() -> Pulse | None:
    """None before there are two samples. Raises redis.RedisError."""
    found = list(compute_rates(load_samples(redis_services.counters_client(), SAMPLES)))
    if not found:
        return None
    end = found[-1].at
    requests, hits = [(one.at, one.requests) for one in found], [(one.at, one.hit_ratio) for one in found]
    return Pulse(_curve(requests, end), _curve(hits, end, Axis(0, 1, ())), _rows(found))


def _curve(points: Sequence[Known], end: float, y: Axis | None = None) -> Curve:
    known = [value for _at, value in points if value is not None]
    y = y or axis(0, max(known, default=0))
    frame = Frame(Axis(end - HOUR, end, ()), y, WIDTH, HEIGHT)
    stretches = list(_stretches([point for point in points if point[0] >= end - HOUR]))
    return Curve(
        known[-1] if known else None,
        y.high,
        tuple(f"{frame.line(stretch)} h.01" for stretch in stretches),  # so that a single value is a dot
        tuple(frame.area(stretch) for stretch in stretches),
    )


def _stretches(points: Sequence[Known]) -> list[list[Point]]:
    runs = groupby(points, key=lambda point: point[1] is not None)
    return [[(at, value or 0.0) for at, value in run] for known, run in runs if known]


def _rows(found: Sequence[Rate]) -> tuple[Row, ...]:
    """The latest first."""
    return tuple(
        Row(datetime.fromtimestamp(one.at, UTC), one.requests, one.hit_ratio)
        for one in list(found)[::-1][::ROW_EVERY]
    )

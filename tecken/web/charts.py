"""Charts of the pages, computed on the server as SVG path data: their geometry, activity, and the queue.

Lengths are units of the chart's view box. A chart over time has gaps where the value is not known.
Measurements come from samples that beat takes every 30 seconds. Functions return named tuples that templates
draw: `Timeline` (a value over time), `ActivityCharts` (home page: requests and hit ratio in the last hour),
`QueueCharts` (jobs and health: unfinished jobs and the latency of the slowest queue). Charts of the store are
in its page.

A chart needs no script, and each has a table with the same numbers, for screen readers and for print.

What must never happen: a gap in the measurements is drawn as zero. An unknown value is None, and interrupts
the line.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from statistics import fmean
from typing import NamedTuple

import redis
import squarify

from tecken.monitoring.health.measurements import EVERY_SECONDS, Rate, Sample, compute_rates, load_samples
from tecken.redisclient import services as redis_services
from tecken.web.formatting import seconds

Point = tuple[float, float]


class Axis(NamedTuple):
    """Axis from `low` to `high`, with a tick at each of `marks`."""

    low: float
    high: float
    marks: tuple[float, ...]


def round_axis(low: float, high: float, marks: int = 5) -> Axis:
    """Return an axis that includes both values, with about so many ticks at round numbers."""
    if high <= low:
        high = low + 1
    step = _round_up((high - low) / marks)
    first, last = math.floor(low / step), math.ceil(high / step)
    return Axis(first * step, last * step, tuple(n * step for n in range(first, last + 1)))


def _round_up(step: float) -> float:
    """Return the next of 1, 2, 5, 10, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    # Without the tolerance a step of 0.1, computed as 0.10000000000000001, would become 0.2.
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * 0.999)


class ChartFrame(NamedTuple):
    """Area of `width` times `height` units in which the values of two axes are drawn."""

    x: Axis
    y: Axis
    width: float = 640
    height: float = 200

    def place(self, point: Point) -> Point:
        """Return the position of a point. Vertical positions of SVG count from the upper edge."""
        across = (point[0] - self.x.low) / (self.x.high - self.x.low)
        up = (point[1] - self.y.low) / (self.y.high - self.y.low)
        return round(across * self.width, 1), round((1 - up) * self.height, 1)

    def line(self, points: Sequence[Point]) -> str:
        """Return the path data of a line through these points."""
        return " ".join(
            f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(map(self.place, points))
        )

    def steps(self, points: Sequence[Point]) -> str:
        """Return the path data of a line in which each value holds until the next point."""
        held = [(later[0], earlier[1]) for earlier, later in pairwise(points)]
        corners = (
            [corner for pair in zip(points, [*held, points[-1]], strict=True) for corner in pair]
            if points
            else []
        )
        return self.line(corners)

    def area(self, points: Sequence[Point]) -> str:
        """Return the path data of the area between a line and the lower edge."""
        if not points:
            return ""
        (left, _), (right, _) = self.place(points[0]), self.place(points[-1])
        return f"{self.line(points)} L{right} {self.height} L{left} {self.height} Z"


class Tile(NamedTuple):
    """Rectangle of a treemap. `item` is the index of its size."""

    item: int
    x: float
    y: float
    width: float
    height: float


def treemap(sizes: Sequence[int], width: float, height: float) -> list[Tile]:
    """Return a tile for each size above 0, largest first, each as square as possible."""
    largest_first = sorted(((size, item) for item, size in enumerate(sizes) if size > 0), reverse=True)
    areas = squarify.normalize_sizes([size for size, _item in largest_first], width, height)
    boxes = squarify.squarify(areas, 0.0, 0.0, width, height)
    return [
        Tile(item, box["x"], box["y"], box["dx"], box["dy"])
        for (_size, item), box in zip(largest_first, boxes, strict=True)
    ]


# Values over time

# Seconds since 1970, and the value at that time.
Reading = tuple[float, float | None]
WIDTH, HEIGHT = 320, 110
COLUMNS = 120
# An older reading is not shown as the present value.
FRESH_SECONDS = 120
# Hours that a chart can show, and the seconds between two ticks of its axis.
MARKS = {1: 900, 6: 7200, 24: 21_600}


class Tick(NamedTuple):
    """Labelled position on an axis."""

    at: float
    label: str


class Timeline(NamedTuple):
    """Chart with a path in `lines` and in `areas` for each stretch without a gap.

    `limit` is the height of a horizontal line; `latest` is the present value, "" if it is not known.
    """

    lines: Sequence[str]
    areas: Sequence[str]
    across: Sequence[Tick]
    up: Sequence[Tick]
    limit: float | None
    latest: str


def draw_timeline(
    readings: Sequence[Reading],
    hours: int,
    now: float,
    label: Callable[[float], str],
    *,
    limit: float | None = None,
    most: float | None = None,
) -> Timeline:
    """Return the chart of the last hours.

    Args:
        readings: Values in the order of time.
        hours: Period, one of MARKS.
        now: Time at the right edge.
        label: Function that formats a value.
        limit: Value to draw as a horizontal line.
        most: Value at the upper edge. Without it the axis includes all values.
    """
    start = now - hours * 3600
    stretches = list(_stretches(_columns(readings, start, now)))
    highest = max([value for stretch in stretches for _at, value in stretch] + [limit or 0])
    up = Axis(0, most, (0, most / 2, most)) if most else round_axis(0, highest, 3)
    frame = ChartFrame(Axis(start, now, _tick_times(start, now, MARKS[hours])), up, WIDTH, HEIGHT)
    latest = readings[-1][1] if readings and readings[-1][0] >= now - FRESH_SECONDS else None
    return Timeline(
        [frame.line(_widen(stretch)) for stretch in stretches],
        [frame.area(_widen(stretch)) for stretch in stretches],
        [Tick(frame.place((at, 0))[0], time.strftime("%H:%M", time.gmtime(at))) for at in frame.x.marks],
        [Tick(frame.place((start, value))[1], label(value)) for value in up.marks],
        frame.place((start, limit))[1] if limit else None,
        "" if latest is None else label(latest),
    )


def _columns(readings: Sequence[Reading], start: float, now: float) -> Iterator[tuple[int, Point]]:
    """Yield the number and the mean of each column that has a value."""
    width = (now - start) / COLUMNS
    known = ((at, value) for at, value in readings if value is not None and start <= at <= now)
    for number, column in groupby(known, key=lambda reading: int((reading[0] - start) // width)):
        values = [value for _at, value in column]
        yield number, (start + min(number + 0.5, COLUMNS) * width, fmean(values))


def _stretches(columns: Iterator[tuple[int, Point]]) -> Iterator[list[Point]]:
    """Yield the points of each stretch. A single empty column is no gap: samples are not punctual."""
    stretch: list[Point] = []
    last = -math.inf
    for number, point in columns:
        if stretch and number - last > 2:
            yield stretch
            stretch = []
        stretch.append(point)
        last = number
    if stretch:
        yield stretch


def _widen(stretch: Sequence[Point]) -> Sequence[Point]:
    """Return the stretch, with a single point made a short line that can be seen."""
    (at, value), *others = stretch
    return stretch if others else [(at - 1, value), (at + 1, value)]


def _tick_times(start: float, now: float, step: int) -> tuple[float, ...]:
    return tuple(float(at) for at in range(math.ceil(start / step) * step, int(now) + 1, step))


# Activity

HOUR = 3600
ACTIVITY_SAMPLES = int(HOUR / EVERY_SECONDS) + 1
# The table has every tenth rate, one for each five minutes.
ROW_STEP = 10
ACTIVITY_WIDTH, ACTIVITY_HEIGHT = 480.0, 90.0


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
    measured = list(compute_rates(load_samples(redis_services.counters_client(), ACTIVITY_SAMPLES)))
    if not measured:
        return None
    end = measured[-1].at
    requests = _draw_rates([(rate.at, rate.requests) for rate in measured], end)
    hits = _draw_rates([(rate.at, rate.hit_ratio) for rate in measured], end, Axis(0, 1, ()))
    return ActivityCharts(requests, hits, _rates_table(measured))


def _draw_rates(readings: Sequence[Reading], end: float, y: Axis | None = None) -> ActivityCurve:
    known = [value for _at, value in readings if value is not None]
    y = y or round_axis(0, max(known, default=0))
    frame = ChartFrame(Axis(end - HOUR, end, ()), y, ACTIVITY_WIDTH, ACTIVITY_HEIGHT)
    stretches = list(_activity_stretches([reading for reading in readings if reading[0] >= end - HOUR]))
    return ActivityCurve(
        known[-1] if known else None,
        y.high,
        # The short horizontal line makes a single value visible as a dot.
        tuple(f"{frame.line(stretch)} h.01" for stretch in stretches),
        tuple(frame.area(stretch) for stretch in stretches),
    )


def _activity_stretches(readings: Sequence[Reading]) -> list[list[Point]]:
    runs = groupby(readings, key=lambda reading: reading[1] is not None)
    return [[(at, value or 0.0) for at, value in run] for is_known, run in runs if is_known]


def _rates_table(measured: Sequence[Rate]) -> tuple[ActivityRow, ...]:
    """Return rows for the table, the latest first."""
    return tuple(
        ActivityRow(datetime.fromtimestamp(rate.at, UTC), rate.requests, rate.hit_ratio)
        for rate in list(measured)[::-1][::ROW_STEP]
    )


# Queue

HOURS = tuple(MARKS)
# An axis ends at this many jobs or seconds at least: a single job should not look like a long queue.
MIN_JOBS, MIN_SECONDS = 4, 0.1
QUEUE_ROWS = 12


class QueueRow(NamedTuple):
    """Maximum of each value in one of QUEUE_ROWS periods, which began `at`. None: not known."""

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


def load_queue(hours: int) -> QueueCharts | None:
    """Return the charts, or None if redis-cache, which has the samples, does not respond."""
    try:
        taken = load_samples(redis_services.counters_client(), round(hours * 3600 / EVERY_SECONDS))
    except redis.RedisError:
        return None
    return draw_queue(taken, hours, time.time())


def draw_queue(taken: Sequence[Sample], hours: int, now: float) -> QueueCharts:
    """Return the charts of these samples."""
    queued = [(sample.at, sample.queued) for sample in taken]
    canary = [(sample.at, sample.canary) for sample in taken]
    return QueueCharts(
        _draw_samples(queued, hours, now, _format_jobs, MIN_JOBS),
        _draw_samples(canary, hours, now, seconds, MIN_SECONDS),
        list(_queue_table(queued, canary, hours * 3600 / QUEUE_ROWS, now)),
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
    for number in range(QUEUE_ROWS):
        start = now - (number + 1) * period
        maxima = [_maximum(readings, start, start + period) for readings in (queued, canary)]
        yield QueueRow(datetime.fromtimestamp(start, UTC), *maxima)


def _maximum(readings: Sequence[Reading], start: float, end: float) -> float | None:
    known = (value for at, value in readings if value is not None and start <= at < end)
    return max(known, default=None)

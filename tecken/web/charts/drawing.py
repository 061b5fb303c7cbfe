"""Geometry of SVG charts: axes, frames, treemaps, and the chart of a value over time.

Lengths are units of the chart's view box. A chart over time has gaps where the value is not known.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from statistics import fmean
from typing import NamedTuple

import squarify

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

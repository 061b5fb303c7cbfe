"""Geometry of SVG charts: axes, frames and treemaps. Lengths are units of the chart's view box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
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

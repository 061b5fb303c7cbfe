"""Pictures as SVG, drawn on the server: no script, and the same in print. Lengths are in its own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import squarify

Point = tuple[float, float]


class Axis(NamedTuple):
    """From `low` to `high`, with a mark at each of `marks`."""

    low: float
    high: float
    marks: tuple[float, ...]


def axis(low: float, high: float, marks: int = 5) -> Axis:
    """Round numbers at and around the ends."""
    if high <= low:
        high = low + 1
    step = _round((high - low) / marks)
    first, last = math.floor(low / step), math.ceil(high / step)
    return Axis(first * step, last * step, tuple(n * step for n in range(first, last + 1)))


def _round(step: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * 0.999)


class Frame(NamedTuple):
    """Where the values of two axes lie in a picture of `width` times `height`."""

    x: Axis
    y: Axis
    width: float = 640
    height: float = 200

    def place(self, point: Point) -> Point:
        across = (point[0] - self.x.low) / (self.x.high - self.x.low)
        up = (point[1] - self.y.low) / (self.y.high - self.y.low)
        return round(across * self.width, 1), round((1 - up) * self.height, 1)

    def line(self, points: Sequence[Point]) -> str:
        """The `d` of a path from point to point."""
        return " ".join(
            f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(map(self.place, points))
        )

    def steps(self, points: Sequence[Point]) -> str:
        """The same for a value that holds until the next point."""
        held = [(later[0], earlier[1]) for earlier, later in pairwise(points)]
        corners = (
            [corner for pair in zip(points, [*held, points[-1]], strict=True) for corner in pair]
            if points
            else []
        )
        return self.line(corners)

    def area(self, points: Sequence[Point]) -> str:
        """Closed along the lower edge."""
        if not points:
            return ""
        (left, _), (right, _) = self.place(points[0]), self.place(points[-1])
        return f"{self.line(points)} L{right} {self.height} L{left} {self.height} Z"


class Tile(NamedTuple):
    """A rectangle for the item of that number."""

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

"""How large the store must be, drawn: hits by memory, which is on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tecken.monitoring.health.sizing import ESTIMATES_OF_2014, RATIOS, Sizing
from tecken.web.charts.svg import Axis, Frame
from tecken.web.charts.timeline import Tick
from tecken.web.templatetags.site import percent, size

WIDTH, HEIGHT = 640, 300
DECADES = 3
"""Left of the largest size that is drawn."""
FAR = 5
"""An estimate that many times beyond all the rest is not drawn."""
UP = (0, 0.25, 0.5, 0.75, 0.9, 0.99)


class Mark(NamedTuple):
    x: float
    y: float
    label: str


class Picture(NamedTuple):
    line: str
    area: str
    across: Sequence[Tick]
    up: Sequence[Tick]
    needs: Sequence[Mark]
    now: Mark | None
    estimates: Sequence[Mark]


class Row(NamedTuple):
    """`share`: of the memory that there is. Bytes; None: no size will do, and nobody estimated it."""

    ratio: float
    need: int | None
    estimate: int | None


def rows(told: Sizing) -> list[Row]:
    needs = zip(RATIOS, told.needs, strict=True)
    return [Row(ratio, need, ESTIMATES_OF_2014.get(ratio)) for ratio, need in needs]


def picture(told: Sizing, maxmemory: int | None) -> Picture | None:
    """None of a curve without a point."""
    if not told.curve.sizes:
        return None
    frame = _frame(told, maxmemory)
    points = [(math.log10(size), told.curve.hit_ratio(size)) for size in _sizes(frame, told)]
    return Picture(
        frame.steps(points),
        _under(frame.steps(points), frame),
        list(_across(frame)),
        [Tick(frame.place((frame.x.low, ratio))[1], f"{ratio:.0%}") for ratio in UP],
        [_mark(frame, row.need, row.ratio) for row in rows(told) if row.need],
        _mark(frame, maxmemory, told.curve.hit_ratio(maxmemory)) if maxmemory else None,
        [_mark(frame, size, ratio) for ratio, size in ESTIMATES_OF_2014.items() if _inside(frame, size)],
    )


def _frame(told: Sizing, maxmemory: int | None) -> Frame:
    largest = max(told.curve.sizes[-1], maxmemory or 0)
    near = [size for size in ESTIMATES_OF_2014.values() if size < FAR * largest]
    high = math.log10(max([largest, *near]) * 1.3)
    low = min(math.log10(max(told.curve.sizes[0], 1)), math.log10(told.curve.sizes[-1]) - 1)
    low = max(low, math.log10(told.curve.sizes[-1]) - DECADES)
    return Frame(Axis(low, high, ()), Axis(0, 1, UP), WIDTH, HEIGHT)


def _sizes(frame: Frame, told: Sizing) -> Iterator[int]:
    """Of the curve, and of both edges."""
    yield round(10**frame.x.low)
    yield from (size for size in told.curve.sizes if size > 10**frame.x.low)
    yield round(10**frame.x.high)


def _under(line: str, frame: Frame) -> str:
    return f"{line} L{frame.width} {frame.height} L0 {frame.height} Z"


def _across(frame: Frame) -> Iterator[Tick]:
    """At 1, 2 and 5 times powers of ten, or at the powers only where there would be many."""
    steps = (1, 2, 5) if frame.x.high - frame.x.low < 2.5 else (1,)
    for power in range(math.floor(frame.x.low), math.ceil(frame.x.high)):
        for step in steps:
            if _inside(frame, step * 10**power):
                yield Tick(
                    frame.place((math.log10(step * 10**power), 0))[0],
                    size(step * 10**power).replace(".0", ""),
                )


def _inside(frame: Frame, size: float) -> bool:
    return frame.x.low <= math.log10(size) <= frame.x.high


def _mark(frame: Frame, bytes_: int, ratio: float) -> Mark:
    x, y = frame.place((max(frame.x.low, math.log10(bytes_)), ratio))
    return Mark(x, y, f"{percent(ratio)} with {size(bytes_)}")

"""Chart of the store's hit ratio by its memory, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tecken.monitoring.health.measurements import ESTIMATES_OF_2014, RATIOS, Sizing
from tecken.web.charts.svg import Axis, ChartFrame
from tecken.web.charts.timeline import Tick
from tecken.web.formatting import percent, size

WIDTH, HEIGHT = 640, 300
# Powers of ten that the axis has below the largest size.
DECADES = 3
# Estimates that are so many times larger than the measured sizes are left out: they would squeeze the curve.
MAX_ESTIMATE_FACTOR = 5
RATIO_MARKS = (0, 0.25, 0.5, 0.75, 0.9, 0.99)


class CurveMark(NamedTuple):
    """Point on the curve with a label."""

    x: float
    y: float
    label: str


class MissRatioChart(NamedTuple):
    """Curve with its axes, and marks for the sizes of interest.

    `needs` are the sizes for the ratios of the table, `present` is the memory limit as it is.
    """

    line: str
    area: str
    across: Sequence[Tick]
    up: Sequence[Tick]
    needs: Sequence[CurveMark]
    present: CurveMark | None
    estimates: Sequence[CurveMark]


class SizingRow(NamedTuple):
    """Bytes of memory for a hit ratio. None: no size is enough, or there is no estimate."""

    ratio: float
    need: int | None
    estimate: int | None


def sizing_rows(sizing: Sizing) -> list[SizingRow]:
    """Return the rows of the table."""
    needs = zip(RATIOS, sizing.needs, strict=True)
    return [SizingRow(ratio, need, ESTIMATES_OF_2014.get(ratio)) for ratio, need in needs]


def draw_curve(sizing: Sizing, maxmemory: int | None) -> MissRatioChart | None:
    """Return the chart, or None for a curve without points."""
    if not sizing.curve.sizes:
        return None
    frame = _make_frame(sizing, maxmemory)
    points = [(math.log10(size), sizing.curve.hit_ratio(size)) for size in _curve_sizes(frame, sizing)]
    line = frame.steps(points)
    return MissRatioChart(
        line,
        f"{line} L{frame.width} {frame.height} L0 {frame.height} Z",
        list(_size_ticks(frame)),
        [Tick(frame.place((frame.x.low, ratio))[1], f"{ratio:.0%}") for ratio in RATIO_MARKS],
        [_mark(frame, row.need, row.ratio) for row in sizing_rows(sizing) if row.need],
        _mark(frame, maxmemory, sizing.curve.hit_ratio(maxmemory)) if maxmemory else None,
        [_mark(frame, size, ratio) for ratio, size in ESTIMATES_OF_2014.items() if _is_inside(frame, size)],
    )


def _make_frame(sizing: Sizing, maxmemory: int | None) -> ChartFrame:
    largest = max(sizing.curve.sizes[-1], maxmemory or 0)
    estimates = [size for size in ESTIMATES_OF_2014.values() if size < MAX_ESTIMATE_FACTOR * largest]
    high = math.log10(max([largest, *estimates]) * 1.3)
    low = min(math.log10(max(sizing.curve.sizes[0], 1)), math.log10(sizing.curve.sizes[-1]) - 1)
    low = max(low, math.log10(sizing.curve.sizes[-1]) - DECADES)
    return ChartFrame(Axis(low, high, ()), Axis(0, 1, RATIO_MARKS), WIDTH, HEIGHT)


def _curve_sizes(frame: ChartFrame, sizing: Sizing) -> Iterator[int]:
    """Yield the sizes of the curve, and those of both edges of the chart."""
    yield round(10**frame.x.low)
    yield from (size for size in sizing.curve.sizes if size > 10**frame.x.low)
    yield round(10**frame.x.high)


def _size_ticks(frame: ChartFrame) -> Iterator[Tick]:
    """Yield ticks at 1, 2 and 5 times powers of ten, or only at the powers on a long axis."""
    steps = (1, 2, 5) if frame.x.high - frame.x.low < 2.5 else (1,)
    for power in range(math.floor(frame.x.low), math.ceil(frame.x.high)):
        for step in steps:
            bytes_ = step * 10**power
            if _is_inside(frame, bytes_):
                yield Tick(frame.place((math.log10(bytes_), 0))[0], size(bytes_).replace(".0", ""))


def _is_inside(frame: ChartFrame, size: float) -> bool:
    return frame.x.low <= math.log10(size) <= frame.x.high


def _mark(frame: ChartFrame, bytes_: int, ratio: float) -> CurveMark:
    x, y = frame.place((max(frame.x.low, math.log10(bytes_)), ratio))
    return CurveMark(x, y, f"{percent(ratio)} with {size(bytes_)}")

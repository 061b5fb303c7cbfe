"""A value over time, with gaps where nobody could tell."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from statistics import fmean
from typing import NamedTuple

from tecken.web.charts.svg import Axis, Frame, Point, axis

Reading = tuple[float, float | None]
"""When, in seconds since 1970, and what."""
WIDTH, HEIGHT = 320, 110
COLUMNS = 120
NEWS_SECONDS = 120
"""What is older does not tell how it is now."""
MARKS = {1: 900, 6: 7200, 24: 21_600}
"""Hours that a picture may show, and seconds between two marks of its axis."""


class Tick(NamedTuple):
    at: float
    label: str


class Timeline(NamedTuple):
    """`lines` and `areas` are SVG path data, one for each stretch without a gap. `limit` is a height."""

    lines: Sequence[str]
    areas: Sequence[str]
    across: Sequence[Tick]
    up: Sequence[Tick]
    limit: float | None
    latest: str
    """Empty when nobody can tell."""


def timeline(
    readings: Sequence[Reading],
    hours: int,
    now: float,
    label: Callable[[float], str],
    *,
    limit: float | None = None,
    most: float | None = None,
) -> Timeline:
    """Of the last `hours`, one of MARKS. The axis goes from 0 to `most`, or as far as it must."""
    start = now - hours * 3600
    stretches = list(_stretches(_columns(readings, start, now)))
    highest = max([value for stretch in stretches for _at, value in stretch] + [limit or 0])
    up = Axis(0, most, (0, most / 2, most)) if most else axis(0, highest, 3)
    frame = Frame(Axis(start, now, _times(start, now, MARKS[hours])), up, WIDTH, HEIGHT)
    latest = readings[-1][1] if readings and readings[-1][0] >= now - NEWS_SECONDS else None
    return Timeline(
        [frame.line(_wide(stretch)) for stretch in stretches],
        [frame.area(_wide(stretch)) for stretch in stretches],
        [Tick(frame.place((at, 0))[0], time.strftime("%H:%M", time.gmtime(at))) for at in frame.x.marks],
        [Tick(frame.place((start, value))[1], label(value)) for value in up.marks],
        frame.place((start, limit))[1] if limit else None,
        "" if latest is None else label(latest),
    )


def _columns(readings: Sequence[Reading], start: float, now: float) -> Iterator[tuple[int, Point]]:
    """The mean of each column that has a value, with its number."""
    width = (now - start) / COLUMNS
    known = ((at, value) for at, value in readings if value is not None and start <= at <= now)
    for number, column in groupby(known, key=lambda reading: int((reading[0] - start) // width)):
        values = [value for _at, value in column]
        yield number, (start + min(number + 0.5, COLUMNS) * width, fmean(values))


def _stretches(columns: Iterator[tuple[int, Point]]) -> Iterator[list[Point]]:
    """One column may be empty: samples are not that punctual."""
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


def _wide(stretch: Sequence[Point]) -> Sequence[Point]:
    """A single point is made a line that can be seen."""
    (at, value), *more = stretch
    return stretch if more else [(at - 1, value), (at + 1, value)]


def _times(start: float, now: float, step: int) -> tuple[float, ...]:
    return tuple(float(at) for at in range(math.ceil(start / step) * step, int(now) + 1, step))

"""Charts as SVG, in colours that read on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 360, 60, 40, 50
COLOURS = ("#2a78b5", "#d9822b", "#3a9a5b", "#b04a8f")
GREY = "#808080"
NAMES, ROW, DECADES = 280, 52, 4  # of a chart of ranges
STEPS = 5


class Curve(NamedTuple):
    name: str
    points: Sequence[tuple[float, float]]


class Range(NamedTuple):
    """Half of all are at or below `middle`, 99 in 100 at or below `most`; `wanted` is for `most`."""

    name: str
    middle: float
    most: float
    longest: float
    wanted: float


def line_chart(path: Path, title: str, below: str, curves: Sequence[Curve]) -> None:
    """`curves` from the lowest to the highest."""
    right = max(x for curve in curves for x, _ in curve.points)
    top = ceiling(max(y for curve in curves for _, y in curve.points))
    parts = [
        text(LEFT, 22, title, "start"),
        text((LEFT + WIDTH) / 2, HEIGHT - 8, below, "middle"),
        *(grid(step / STEPS, right, top) for step in range(STEPS + 1)),
        *(
            drawn(curve, colour, right, top, -8 if number else 18)  # the lowest has its name below
            for number, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False))
        ),
    ]
    save(path, HEIGHT, parts)


def range_chart(path: Path, title: str, ranges: Sequence[Range]) -> None:
    """Return a chart with a row for each range, on a logarithmic axis from 1 to 10 ** DECADES."""
    floor = TOP + ROW * len(ranges)
    marks = [10**decade for decade in range(DECADES + 1)]
    parts = [
        text(12, 22, title, "start"),
        *(
            f'<path d="M{across(mark):.0f} {TOP}V{floor}" stroke="{GREY}" stroke-opacity=".4"/>'
            + text(across(mark), floor + 18, f"{mark:,}", "middle")
            for mark in marks
        ),
        *(spanned(one, TOP + ROW * number + ROW / 2) for number, one in enumerate(ranges)),
    ]
    save(path, floor + BOTTOM // 2, parts)


def across(value: float) -> float:
    return NAMES + math.log10(max(value, 1)) / DECADES * (WIDTH - NAMES - 30)


def spanned(one: Range, y: float) -> str:
    """Thick up to `most`, thin to the longest, and a stroke where `most` must not pass."""
    colour, (middle, most, longest) = COLOURS[0], map(across, (one.middle, one.most, one.longest))
    wanted = across(one.wanted)
    return (
        text(12, y + 4, one.name, "start")
        + f'<path d="M{middle:.1f} {y}H{longest:.1f}" stroke="{colour}" stroke-width="2"/>'
        + f'<path d="M{middle:.1f} {y}H{most:.1f}" stroke="{colour}" stroke-width="8"/>'
        + f'<path d="M{wanted:.1f} {y - 14}V{y + 14}" stroke="{COLOURS[1]}" stroke-width="3"/>'
        + text(middle, y - 10, f"{one.middle:,.1f}", "end", colour)
        + text(most, y + 20, f"{one.most:,.1f}", "end", colour)
    )


def save(path: Path, height: float, parts: Sequence[str]) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f'{head}font-size="13">', *parts, "</svg>\n"]))


def ceiling(value: float) -> float:
    """Return the next greater round number."""
    step = float("5e" + str(len(str(int(value))) - 2))
    return step * (value // step + 1)


def place(share_x: float, share_y: float) -> tuple[float, float]:
    return LEFT + share_x * (WIDTH - LEFT - 20), HEIGHT - BOTTOM - share_y * (HEIGHT - TOP - BOTTOM)


def grid(share: float, right: float, top: float) -> str:
    (left, y), (end, _), (x, floor) = place(0, share), place(1, share), place(share, 0)
    line = f'<path d="M{left:.0f} {y:.0f}H{end:.0f}" stroke="{GREY}" stroke-opacity=".4"/>'
    return (
        line
        + text(left - 8, y + 4, f"{share * top:,.0f}", "end")
        + text(x, floor + 18, f"{share * right:,.0f}", "middle")
    )


def drawn(curve: Curve, colour: str, right: float, top: float, label_at: int) -> str:
    places = [place(x / right, y / top) for x, y in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    label = text(x, y + label_at, curve.name, "end", colour)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{label}'


def text(x: float, y: float, said: str, anchor: str, colour: str = GREY) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{escape(said)}</text>'

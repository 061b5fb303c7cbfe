"""A line chart as SVG, in colours that read on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 360, 60, 40, 50
COLOURS = ("#2a78b5", "#d9822b", "#3a9a5b", "#b04a8f")
GREY = "#808080"
STEPS = 5


class Curve(NamedTuple):
    name: str
    points: Sequence[tuple[float, float]]


def line_chart(path: Path, title: str, below: str, curves: Sequence[Curve]) -> None:
    """`curves` from the lowest to the highest."""
    right = max(x for curve in curves for x, _ in curve.points)
    top = ceiling(max(y for curve in curves for _, y in curve.points))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        text(LEFT, 22, title, "start"),
        text((LEFT + WIDTH) / 2, HEIGHT - 8, below, "middle"),
        *(grid(step / STEPS, right, top) for step in range(STEPS + 1)),
        *(
            drawn(curve, colour, right, top, -8 if number else 18)  # the lowest has its name below
            for number, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False))
        ),
        "</svg>\n",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def ceiling(value: float) -> float:
    """The next round number above."""
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

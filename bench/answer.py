"""Draws an answer of /symbolicate/v5, JSON on stdin, as the picture in docs/index.md.

With `make run` going:

    curl -s http://localhost:8000/symbolicate/v5 -d @tests/data/samples/stack.json | python -m bench.answer
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from run.tour import WIDTH, describe_place, fit

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "answer.svg"
ROW, LETTER, LEFT, TOP = 19, 7.8, 24, 64
NAME, PLACE = LEFT + 4 * LETTER, LEFT + (WIDTH + 6) * LETTER
FRAME, INLINED, WHERE, NUMBER = "#e6edf3", "#9aa7b4", "#79b8ff", "#6e7b88"


def main() -> None:
    stacks = json.load(sys.stdin)["results"][0]["stacks"]
    rows = [row for stack in stacks for frame in stack for row in rows_of(frame)]
    height = TOP + len(rows) * ROW + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">',
        f'<title>A stack, symbolicated</title><rect width="760" height="{height}" rx="10" fill="#0d1117"/>',
        *(f'<circle cx="{24 + 20 * i}" cy="22" r="6" fill="#30363d"/>' for i in range(3)),
        *(part for number, row in enumerate(rows) for part in drawn(TOP + number * ROW, *row)),
        "</svg>\n",
    ]
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text("\n".join(parts))


def rows_of(frame: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Frame number, name, place, colour of the name."""
    for call in frame.get("inlines", ()):
        yield "", fit(call["function"]).strip(), describe_place(call), INLINED
    name = fit(frame.get("function", frame["module_offset"])).strip()
    yield str(frame["frame"]), name, describe_place(frame), FRAME


def drawn(y: int, number: str, name: str, where: str, colour: str) -> Iterator[str]:
    yield f'<text x="{NAME - 2 * LETTER}" y="{y}" fill="{NUMBER}" text-anchor="end">{number}</text>'
    yield f'<text x="{NAME}" y="{y}" fill="{colour}">{escape(name)}</text>'
    yield f'<text x="{PLACE}" y="{y}" fill="{WHERE}">{escape(where)}</text>'


if __name__ == "__main__":
    main()

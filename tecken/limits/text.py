"""Limits as text: `600 requests/minute per address`, `20 GiB/month per user`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import cast

from tecken.limits.port import CALENDAR, Limit, Scope, Unit, Whose, Window, Without

SIZES = {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
SHAPE = re.compile(
    rf"(\d{{1,15}}) *(requests|frames|bytes|{'|'.join(SIZES)}) */ *(second|minute|hour|day|month)"
    r" +per +(address|token|user)",
    re.ASCII,
)


def limit(text: str, scope: Scope = "api", without: Without = "open") -> Limit:
    """Return the limit that a text describes. Raises ValueError with a sentence for the operator."""
    match = SHAPE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not like 600 requests/minute per address")
    quantity, unit, window, whose = match.groups()
    if window in CALENDAR and whose == "address":
        raise ValueError(f"{text!r}: addresses are too many to be counted for a {window}")
    if not int(quantity):
        raise ValueError(f"{text!r} would allow nothing")
    return Limit(
        scope,
        int(quantity) * SIZES.get(unit, 1),
        cast("Unit", "bytes" if unit in SIZES else unit),
        cast("Window", window),
        cast("Whose", whose),
        without,
    )


def check(texts: Sequence[str], units: Collection[Unit]) -> None:
    """Raise ValueError for a malformed or repeated limit, or a unit that its scope does not count."""
    names = set()
    for item in map(limit, texts):
        if item.unit not in units:
            raise ValueError(f"only {' and '.join(units)} are counted there, no {item.unit}")
        if item.name in names:
            raise ValueError(f"{item.unit}/{item.window} per {item.whose} is given twice")
        names.add(item.name)

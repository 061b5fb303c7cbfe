"""One range of bytes (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

from tecken.errors import BadInput

ONE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.IGNORECASE)


class Span(NamedTuple):
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int


class Unsatisfiable(BadInput):
    """A range that begins behind the end of the file."""


def span(header: str, size: int) -> Span | None:
    """None for what is to be ignored: several ranges, other units, nonsense. Raises Unsatisfiable."""
    found = ONE.fullmatch(header)
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        wanted = Span(max(0, size - int(suffix)), size)
    else:
        if last and int(last) < int(first):
            return None
        wanted = Span(int(first), min(int(last) + 1, size) if last else size)
    if wanted.start >= wanted.end:
        raise Unsatisfiable(f"There are only {size} bytes")
    return wanted

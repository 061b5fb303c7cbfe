"""Exceptions: limits of single users and tokens, in place of those of everyone. Pure.

A text has the scope, the limit with the number of the user or token, and the last day, if there is one:

    upload 100 GiB/day per user 7
    symbolicate 50 requests/minute per token 12 until 2026-12-31
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, cast, get_args

from tecken.limits.port import SIZES, Caller, Limit, Scope, Unit, Whose, Without, parse_limit

UNITS_OF: dict[Scope, tuple[Unit, ...]] = {
    "symbolicate": ("requests", "frames"),
    "download": ("requests",),
    "upload": ("requests", "bytes"),
    "api": ("requests",),
}
# Of a text with single spaces, so that the time to match grows linearly with its length.
SHAPE = re.compile(r"(\S+) (.+ per \S+) (\d{1,18})(?: until (\S+))?", re.ASCII)
SAMPLE = "upload 100 GiB/day per user 7 until 2026-12-31"
# A text in an error is cut to this length.
LONGEST_QUOTE = 80


class LimitException(NamedTuple):
    """Limit of one user or token, whose number is `id`. It ends after the day `until`, in UTC."""

    limit: Limit
    id: str
    until: date | None = None

    @property
    def place(self) -> tuple[Scope, str, str]:
        """Return what two exceptions cannot both decide."""
        return self.limit.scope, self.limit.name, self.id

    def holds(self, today: date) -> bool:
        """Return whether the exception is in force on a day of UTC."""
        return self.until is None or today <= self.until

    def __str__(self) -> str:
        end = f" until {self.until}" if self.until else ""
        return f"{self.limit.scope} {format_limit(self.limit)} {self.id}{end}"


def format_limit(limit: Limit, separator: str = "") -> str:
    """Return a limit as an operator writes it: bytes are in the largest unit that divides them.

    With a separator of thousands it is for people only.
    """
    unit = "bytes"
    if limit.unit == "bytes":
        unit = next((name for name, size in reversed(SIZES.items()) if limit.quantity % size == 0), "bytes")
    name = unit if limit.unit == "bytes" else limit.unit
    return f"{limit.quantity // SIZES.get(unit, 1):{separator}} {name}/{limit.window} per {limit.whose}"


def parse_exception(text: str) -> LimitException:
    """Return the exception that a text describes. Raises ValueError with a sentence for the operator."""
    match = SHAPE.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError(f"{text[:LONGEST_QUOTE]!r} is not like {SAMPLE}")
    scope, limit_text, number, until = match.groups()
    if scope not in get_args(Scope):
        raise ValueError(f"{scope[:LONGEST_QUOTE]!r} is none of {', '.join(get_args(Scope))}")
    limit = parse_limit(limit_text, cast("Scope", scope))
    if limit.whose == "address":
        raise ValueError(f"{text[:LONGEST_QUOTE]!r}: exceptions are for a user or a token, not an address")
    if limit.unit not in UNITS_OF[limit.scope]:
        raise ValueError(
            f"only {' and '.join(UNITS_OF[limit.scope])} of {scope} are counted, no {limit.unit}"
        )
    return LimitException(limit, str(int(number)), _parse_day(until) if until else None)


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:LONGEST_QUOTE]!r} is not a day, such as 2026-12-31") from None


def check_exceptions(texts: Sequence[str]) -> None:
    """Raise ValueError for a malformed exception, or two of the same limit of the same user or token."""
    places = set()
    for item in map(parse_exception, texts):
        if item.place in places:
            raise ValueError(f"{item.limit.scope} {item.limit.name} {item.id} is given twice")
        places.add(item.place)


ExceptionIndex = Mapping[tuple[Scope, Whose, str], Sequence[LimitException]]


def index_exceptions(texts: Iterable[str]) -> ExceptionIndex:
    """Return the exceptions by scope and by user or token, so that a request costs two look-ups."""
    index: dict[tuple[Scope, Whose, str], list[LimitException]] = {}
    for item in map(parse_exception, texts):
        index.setdefault((item.limit.scope, item.limit.whose, item.id), []).append(item)
    return index


def find_exceptions(index: ExceptionIndex, scope: Scope, caller: Caller) -> list[LimitException]:
    """Return the exceptions for the token and the user of a caller."""
    places: list[tuple[Scope, Whose, str]] = [
        (scope, "token", caller.id("token")),
        (scope, "user", caller.id("user")),
    ]
    return [item for place in places for item in index.get(place, ())]


def apply_exceptions(
    limits: tuple[Limit, ...], exceptions: Iterable[LimitException], without: Without, today: date
) -> tuple[Limit, ...]:
    """Return limits after exceptions: one that holds replaces the limit of its name, or is added.

    The amounts that were counted stay counted, because the keys of both are the same.
    """
    own = {item.limit.name: item.limit._replace(without=without) for item in exceptions if item.holds(today)}
    return (*(limit for limit in limits if limit.name not in own), *own.values())

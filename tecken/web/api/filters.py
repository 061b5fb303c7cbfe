"""Filters of lists: each turns the text of a query parameter into a Q.

A size or number: `>=10MB`, `10kb`, `>1000,<=2gb` (all must hold; a KB is 1024 bytes).
A date or time, in UTC: `2026-01-31` (that day), `<2026-01-31T12:00:00`, `today`, `>=yesterday`, `null`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db.models import Q
from django.utils import timezone

from tecken.errors import InvalidInput
from tecken.symbols.ids import normal_debug_id

# (field, text) -> Q. Raises InvalidInput, whose text names the expected form.
Filter = Callable[[str, str], Q]

LOOKUPS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "=": "exact", "": "exact"}
OPERATOR = re.compile(r">=|<=|>|<|=|")
# The numbers of digits have a bound: the time to convert a number grows with the square of its length.
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)b?", re.IGNORECASE | re.ASCII)
NUMBER = re.compile(r"\d{1,15}", re.ASCII)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
# The largest value of a column. PostgreSQL refuses a comparison with a larger one.
BIGGEST = 2**63 - 1
DAY = timedelta(days=1)
NONE = ("null", "incomplete")
DATES = "2026-01-31, >=2026-01-31T12:00:00, today, >=yesterday"


def combine_filters(filters: Mapping[str, Filter], texts: Mapping[str, object]) -> Q:
    """Return the condition that all filters hold. Absent and empty parameters are ignored."""
    given = ((field, texts.get(field)) for field in filters)
    return Q(
        *(
            filters[field](field, check_storable(field, text))
            for field, text in given
            if text not in (None, "")
        )
    )


def check_storable(name: str, value: object) -> str:
    """Return the text of a parameter. Raises InvalidInput for a NUL, which PostgreSQL rejects."""
    text = str(value)
    if "\0" in text:
        raise InvalidInput(f"{name}: a NUL character is in no name")
    return text


def size(field: str, text: str) -> Q:
    """Compare with sizes."""
    return Q(*(_compare(field, part, _parse_bytes) for part in text.split(",")))


def number(field: str, text: str) -> Q:
    """Compare with whole numbers."""
    return Q(*(_compare(field, part, _parse_integer) for part in text.split(",")))


def moment(field: str, text: str) -> Q:
    """Compare with dates or times."""
    today = timezone.now().astimezone(UTC).date()
    return Q(*(_compare_time(field, part, today) for part in text.split(",")))


def start(field: str, text: str) -> Q:
    """Match a text that starts with this one, which an index supports."""
    return Q(**{f"{field}__startswith": text})


def exact(field: str, text: str) -> Q:
    """Match the text itself, or with `!text` every other text."""
    return ~Q(**{field: text[1:]}) if text.startswith("!") else Q(**{field: text})


def identifier(field: str, text: str) -> Q:
    """Match a debug id or code id in any case."""
    # Three exact values can use the index of the column. A comparison that ignores case cannot.
    return Q(**{f"{field}__in": sorted({text, text.upper(), text.lower()})})


def debug_identifier(field: str, text: str) -> Q:
    """Match a debug id in any case, with or without its age of 0."""
    return identifier(field, text) | Q(**{field: normal_debug_id(text)})


def _compare(field: str, text: str, value: Callable[[str, str], int]) -> Q:
    sign, operand = _split_operator(text)
    return Q(**{f"{field}__{LOOKUPS[sign]}": value(field, operand)})


def _split_operator(text: str) -> tuple[str, str]:
    """Return the operator and its operand."""
    text = text.strip()
    match = OPERATOR.match(text)
    assert match is not None, "every text matches"
    return match[0], text[match.end() :].lstrip()


def _parse_bytes(field: str, text: str) -> int:
    match = SIZE.fullmatch(text)
    if not match:
        raise InvalidInput(f"{field}: {text!r} is not a size; sizes look like 512, 10kb, >=1.5MB")
    return min(int(Decimal(match[1]) * 1024 ** POWERS[match[2].lower()]), BIGGEST)


def _parse_integer(field: str, text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise InvalidInput(f"{field}: {text!r} is not a number; numbers look like 10, >=10")
    return int(text)


def _compare_time(field: str, text: str, today: date) -> Q:
    sign, operand = _split_operator(text)
    if operand in NONE and sign in ("", "="):
        return Q(**{f"{field}__isnull": True})
    begin, end = parse_period(field, operand, today)
    match sign:
        case ">=":
            return Q(**{f"{field}__gte": begin})
        case ">":
            return Q(**{f"{field}__gte": end})
        case "<=":
            return Q(**{f"{field}__lt": end})
        case "<":
            return Q(**{f"{field}__lt": begin})
    return Q(**{f"{field}__gte": begin, f"{field}__lt": end})


def parse_period(field: str, text: str, today: date) -> tuple[datetime, datetime]:
    """Return the begin and the end of a day, or of the microsecond of a time. The end is exclusive."""
    words = {"today": today, "yesterday": today - DAY}
    try:
        day = words.get(text) or (date.fromisoformat(text) if len(text) <= 10 else None)
        if day is not None:
            begin = datetime.combine(day, time(), UTC)
            return begin, begin + DAY
        at = datetime.fromisoformat(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        return at, at + timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{field}: {text!r} is not a date; dates look like {DATES}") from None

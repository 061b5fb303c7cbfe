"""What the lists can be filtered by: each filter turns a query parameter's text into a Q.

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

from tecken.errors import BadInput
from tecken.symbols.ids import normal_debug_id

Filter = Callable[[str, str], Q]
"""(field, text) -> Q. Raises BadInput, whose text says what was expected."""

LOOKUPS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "=": "exact", "": "exact"}
OPERATOR = re.compile(r">=|<=|>|<|=|")
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)b?", re.IGNORECASE | re.ASCII)
NUMBER = re.compile(r"\d{1,15}", re.ASCII)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
BIGGEST = 2**63 - 1
DAY = timedelta(days=1)
NONE = ("null", "incomplete")
DATES = "2026-01-31, >=2026-01-31T12:00:00, today, >=yesterday"


def where(filters: Mapping[str, Filter], texts: Mapping[str, object]) -> Q:
    """All of them; parameters that were not given, or are empty, filter nothing."""
    given = ((field, texts.get(field)) for field in filters)
    return Q(
        *(filters[field](field, storable(field, text)) for field, text in given if text not in (None, ""))
    )


def storable(name: str, value: object) -> str:
    """Return the text of a parameter. Raises BadInput for what PostgreSQL cannot compare with."""
    text = str(value)
    if "\0" in text:
        raise BadInput(f"{name}: a NUL character is in no name")
    return text


def size(field: str, text: str) -> Q:
    return Q(*(_compared(field, part, _bytes) for part in text.split(",")))


def number(field: str, text: str) -> Q:
    return Q(*(_compared(field, part, _integer) for part in text.split(",")))


def moment(field: str, text: str) -> Q:
    today = timezone.now().astimezone(UTC).date()
    return Q(*(_when(field, part, today) for part in text.split(",")))


def start(field: str, text: str) -> Q:
    """Starts with the text, which an index can answer."""
    return Q(**{f"{field}__startswith": text})


def exact(field: str, text: str) -> Q:
    """The text itself; `!text` is everything else."""
    return ~Q(**{field: text[1:]}) if text.startswith("!") else Q(**{field: text})


def identifier(field: str, text: str) -> Q:
    """A debug id or code id, in whatever case it was written down."""
    return Q(**{f"{field}__in": sorted({text, text.upper(), text.lower()})})


def debug_identifier(field: str, text: str) -> Q:
    """Match a debug id in any case, with or without its age of 0."""
    return identifier(field, text) | Q(**{field: normal_debug_id(text)})


def _compared(field: str, text: str, value: Callable[[str, str], int]) -> Q:
    sign, operand = _parts(text)
    return Q(**{f"{field}__{LOOKUPS[sign]}": value(field, operand)})


def _parts(text: str) -> tuple[str, str]:
    """Return the operator and what is compared with it."""
    text = text.strip()
    match = OPERATOR.match(text)
    assert match is not None, "it matches everything"
    return match[0], text[match.end() :].lstrip()


def _bytes(field: str, text: str) -> int:
    match = SIZE.fullmatch(text)
    if not match:
        raise BadInput(f"{field}: {text!r} is not a size; sizes look like 512, 10kb, >=1.5MB")
    return min(int(Decimal(match[1]) * 1024 ** POWERS[match[2].lower()]), BIGGEST)


def _integer(field: str, text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise BadInput(f"{field}: {text!r} is not a number; numbers look like 10, >=10")
    return int(text)


def _when(field: str, text: str, today: date) -> Q:
    sign, operand = _parts(text)
    if operand in NONE and sign in ("", "="):
        return Q(**{f"{field}__isnull": True})
    begin, end = span(field, operand, today)
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


def span(field: str, text: str, today: date) -> tuple[datetime, datetime]:
    """A day from midnight to midnight; of a time, its smallest unit. The end is not part of it."""
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
        raise BadInput(f"{field}: {text!r} is not a date; dates look like {DATES}") from None

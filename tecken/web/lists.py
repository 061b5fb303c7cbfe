"""Lists: filters and paging of the API, and of lists on pages.

Each filter turns the text of a query parameter into a Q:

    a size or number           `>=10MB`, `10kb`, `>1000,<=2gb` (all must hold; a KB is 1024 bytes)
    a date or time, in UTC     `2026-01-31` (that day), `<2026-01-31T12:00:00`, `today`, `>=yesterday`, `null`

Paging is by page number or after a row (tecken.http.keyset). `sort` is the column, `reverse` the direction.
Rows are counted up to MAX_COUNTED only: counting them all would cost more than the page.

On pages, filters, order and position are in the address, so that a list can be bookmarked, shared and
refreshed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import orjson
import pydantic
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Schema

from tecken.errors import InvalidInput
from tecken.http.keyset import M, Order, Position, page_after
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


def build_identifier(field: str, text: str) -> Q:
    """Match a build id, or its beginning, in any case: people know it in parts, such as `fb/66b3...`."""
    # SQLite uses the index for the range only, PostgreSQL for the beginning only. Hexadecimal digits follow.
    beginning = text.replace("/", "").lower()
    return start(field, beginning) & Q(**{f"{field}__gte": beginning, f"{field}__lt": f"{beginning}g"})


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


# Paging

PAGE_ROWS = 50
# The database reads the rows of all pages before a numbered one, so deep pages are named by a row instead.
DEEPEST_PAGE = 200
MAX_COUNTED = 1_000


class Paging(Schema):
    """Parameters that select a page."""

    page: int = Field(1, ge=1, le=DEEPEST_PAGE, description="use `after` for later pages")
    after: str | None = Field(
        None, description="`next` of the previous response, with the same `sort` and `reverse`"
    )
    sort: str | None = Field(None, description="a column of the list")
    reverse: bool | None = Field(None, description="largest or latest first; the default without `sort`")


def sort_field(columns: Collection[str]) -> Any:
    """Return the field `sort` of a list with these columns. An empty text means the default."""
    return Field(None, description="a column of the list", json_schema_extra={"enum": [*columns, ""]})


class Paged(Schema):
    """Part of a response that describes its page."""

    page: int
    batch_size: int
    has_next: bool
    next: str | None = Field(description="value of `after` for the next page, at any depth")
    total: int = Field(description=f"rows of all pages, counted up to {MAX_COUNTED}")
    total_is_exact: bool


R = TypeVar("R")


class ListPage(NamedTuple, Generic[R]):
    """Page of a list. `next` names the page that follows, None after the last one."""

    rows: list[R]
    number: int
    next: str | None
    total: int
    total_is_exact: bool

    def to_response(self, name: str) -> dict[str, object]:
        """Return the fields of a Paged, with the rows under this name."""
        return {
            name: self.rows,
            "page": self.number,
            "batch_size": PAGE_ROWS,
            "has_next": self.next is not None,
            "next": self.next,
            "total": self.total,
            "total_is_exact": self.total_is_exact,
        }


def load_page(rows: QuerySet[M], paging: Paging, sorts: Collection[str]) -> ListPage[M]:
    """Return the page that the parameters select.

    Args:
        rows: All rows of the list.
        paging: Parameters of the request.
        sorts: Columns to sort by, without nulls; the first is the default.

    Raises:
        InvalidInput: The column or the position is not one of this list.
    """
    order = parse_order(paging, sorts)
    after = _parse_position(rows.model, order, paging.after) if paging.after else None
    skipped = 0 if after else (paging.page - 1) * PAGE_ROWS
    page_rows, has_next = page_after(rows, order, after, PAGE_ROWS, skipped=skipped)
    next_ = make_cursor(page_rows[-1], order) if has_next else None
    total = rows.order_by()[: MAX_COUNTED + 1].count()
    return ListPage(page_rows, paging.page, next_, min(total, MAX_COUNTED), total <= MAX_COUNTED)


def parse_order(paging: Paging, sorts: Collection[str]) -> Order:
    """Return the order that the parameters select. Raises InvalidInput for a column not in `sorts`."""
    column = paging.sort or next(iter(sorts))
    if column not in sorts:
        raise InvalidInput(f"sort: {column!r} is none of {', '.join(sorts)}")
    return Order(column, paging.sort is None if paging.reverse is None else paging.reverse)


def make_cursor(row: Model, order: Order) -> str:
    """Return the text that names the position after a row."""
    field = row._meta.get_field(order.column)
    value: Any = field.value_to_string(row)  # type: ignore[union-attr]
    return base64.urlsafe_b64encode(orjson.dumps([order.column, order.reverse, value, row.pk])).decode()


def _parse_position(model: type[Model], order: Order, cursor: str) -> Position:
    # The text comes from the client, so no part of it reaches the query unchecked.
    try:
        column, reverse, text, pk = orjson.loads(base64.urlsafe_b64decode(cursor))
        if (column, reverse) == order and isinstance(text, str) and type(pk) is int:
            return Position(model._meta.get_field(column).to_python(text), pk)  # type: ignore[union-attr]
    except (binascii.Error, ValueError, TypeError, ValidationError):
        pass
    raise InvalidInput("after: not the `next` of a page of this list in this order")


# Lists on pages

S = TypeVar("S", bound=Schema)
ORDER_PARAMETERS = ("sort", "reverse")


class ColumnHeading(NamedTuple):
    """Heading of a column: the address that sorts by it, and its direction in the present order.

    `direction` is `ascending`, `descending` or `none`.
    """

    address: str
    direction: str


class PageList(NamedTuple, Generic[R]):
    """One page of a list, or the problem with its parameters.

    `query` has the parameters that were given. `first`, `previous` and `next` are addresses,
    "" if there is no such page.
    """

    query: dict[str, str]
    filtered: bool
    page: ListPage[R] | None = None
    problem: str = ""
    headings: Mapping[str, ColumnHeading] = {}
    first: str = ""
    previous: str = ""
    next: str = ""

    @property
    def rows(self) -> list[R]:
        """Rows of this page."""
        return self.page.rows if self.page else []


def load_list(
    request: HttpRequest,
    rows: QuerySet[M],
    fields: type[Schema],
    filters: Mapping[str, Filter],
    sorts: Collection[str],
) -> PageList[M]:
    """Return the page of a list that the request's parameters name.

    Args:
        request: Request with the parameters.
        rows: All rows that the user may see.
        fields: Schema of the filter form.
        filters: Filter of each field.
        sorts: Columns to sort by; the first is the default.
    """

    def load(values: Schema, paging: Paging) -> ListPage[M]:
        return load_page(rows.filter(combine_filters(filters, values.dict())), paging, sorts)

    return load_any_list(request, fields, filters, sorts, load)


def load_any_list(
    request: HttpRequest,
    fields: type[S],
    filters: Collection[str],
    sorts: Collection[str],
    load: Callable[[S, Paging], ListPage[R]],
) -> PageList[R]:
    """Return the page that `load` returns for the request's parameters; its InvalidInput is the problem."""
    given = {name: str(text) for name, text in request.GET.items() if text}
    query = {name: given[name] for name in (*fields.model_fields, *ORDER_PARAMETERS) if name in given}
    filtered = any(name in given for name in filters)
    try:
        paging = _parse(Paging, given)
        page = load(_parse(fields, given), paging)
    except InvalidInput as error:
        return PageList(query, filtered, problem=str(error))
    headings = _column_headings(query, paging, sorts)
    return PageList(query, filtered, page, "", headings, *_neighbours(query, paging, page))


def _parse(schema: type[S], given: Mapping[str, str]) -> S:
    """Return the parameters that the schema has, or raise InvalidInput."""
    fields = {name: text for name, text in given.items() if name in schema.model_fields}
    # PostgreSQL rejects a NUL in a text, which would end as a server error.
    if any("\0" in text for text in fields.values()):
        raise InvalidInput("A text has a NUL character, which no name contains")
    try:
        return schema.model_validate(fields)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{first['loc'][0]}: {first['msg']}") from None


def _column_headings(
    query: Mapping[str, str], paging: Paging, sorts: Collection[str]
) -> dict[str, ColumnHeading]:
    column = paging.sort or next(iter(sorts))
    reverse = paging.sort is None if paging.reverse is None else paging.reverse
    direction = "descending" if reverse else "ascending"
    return {
        name: ColumnHeading(
            _address(query, sort=name, reverse="false" if reverse and name == column else "true"),
            direction if name == column else "none",
        )
        for name in sorts
    }


def _neighbours(query: Mapping[str, str], paging: Paging, page: ListPage[R]) -> tuple[str, str, str]:
    """Return the addresses of the first, the previous and the next page.

    Pages are numbered up to DEEPEST_PAGE, so that there is a way back. Beyond it a page is named by the last
    row of the page before, because the cost of a numbered page grows with its number.
    """
    # A page that is named by a row does not know how many pages are before it.
    is_numbered = not paging.after
    first = "" if is_numbered and paging.page == 1 else _address(query)
    previous = _address(query, page=paging.page - 1) if is_numbered and paging.page > 1 else ""
    if page.next is None:
        return first, previous, ""
    if is_numbered and paging.page < DEEPEST_PAGE:
        return first, previous, _address(query, page=paging.page + 1)
    return first, previous, _address(query, after=page.next)


def _address(query: Mapping[str, str], **parameters: object) -> str:
    return f"?{urlencode({**query, **parameters})}"

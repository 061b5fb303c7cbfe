"""Paging of lists: parameters and results of the API, by page number or after a row (tecken.http.keyset).

`sort` is the column, `reverse` the direction. Rows are counted up to MAX_COUNTED only: counting them
all would cost more than the page.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any, Generic, NamedTuple

import orjson
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from ninja import Field, Schema

from tecken.errors import InvalidInput
from tecken.http.keyset import M, Order, Position, page_after

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


class ListPage(NamedTuple, Generic[M]):
    """Page of a list. `next` names the page that follows, None after the last one."""

    rows: list[M]
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
    order = _parse_order(paging, sorts)
    after = _parse_position(rows.model, order, paging.after) if paging.after else None
    skipped = 0 if after else (paging.page - 1) * PAGE_ROWS
    page_rows, has_next = page_after(rows, order, after, PAGE_ROWS, skipped=skipped)
    next_ = make_cursor(page_rows[-1], order) if has_next else None
    total = rows.order_by()[: MAX_COUNTED + 1].count()
    return ListPage(page_rows, paging.page, next_, min(total, MAX_COUNTED), total <= MAX_COUNTED)


def _parse_order(paging: Paging, sorts: Collection[str]) -> Order:
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

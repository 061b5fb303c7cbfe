"""Pages of a list, by number or after another page (tecken.http.keyset), as parameters and results of the API.

`sort` is the column, `reverse` the direction. Rows are counted up to COUNTED only: counting them all would
cost more than the page.
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

from tecken.errors import BadInput
from tecken.http.keyset import M, Order, Position, page_after

PAGE_ROWS = 50
DEEPEST_PAGE = 200
COUNTED = 1_000


class Paging(Schema):
    page: int = Field(1, ge=1, le=DEEPEST_PAGE, description="for pages further on use `after`")
    after: str | None = Field(
        None, description="`next` of the answer before; with the same `sort` and `reverse`"
    )
    sort: str | None = Field(None, description="a column of the list")
    reverse: bool | None = Field(
        None, description="biggest or latest first; without `sort` that is the default"
    )


def sort_field(columns: Collection[str]) -> Any:
    """Return the field `sort` of a list that has these columns to sort by; empty is as good as absent."""
    return Field(None, description="a column of the list", json_schema_extra={"enum": [*columns, ""]})


class Paged(Schema):
    page: int
    batch_size: int
    has_next: bool
    next: str | None = Field(description="give it as `after` to get the next page, at any depth")
    total: int = Field(description=f"rows of all pages, counted up to {COUNTED}")
    total_is_exact: bool


class Page(NamedTuple, Generic[M]):
    rows: list[M]
    number: int
    next: str | None
    total: int
    total_is_exact: bool

    def shown_as(self, name: str) -> dict[str, object]:
        """A Paged, with its rows under this name."""
        return {
            name: self.rows,
            "page": self.number,
            "batch_size": PAGE_ROWS,
            "has_next": self.next is not None,
            "next": self.next,
            "total": self.total,
            "total_is_exact": self.total_is_exact,
        }


def page_of(rows: QuerySet[M], paging: Paging, sorts: Collection[str]) -> Page[M]:
    """Of `sorts` the first is the default. They must not be null. Raises BadInput."""
    order = _order(paging, sorts)
    after = _position(rows.model, order, paging.after) if paging.after else None
    skipped = 0 if after else (paging.page - 1) * PAGE_ROWS
    shown, has_next = page_after(rows, order, after, PAGE_ROWS, skipped=skipped)
    next_ = cursor_of(shown[-1], order) if has_next else None
    total = rows.order_by()[: COUNTED + 1].count()
    return Page(shown, paging.page, next_, min(total, COUNTED), total <= COUNTED)


def _order(paging: Paging, sorts: Collection[str]) -> Order:
    column = paging.sort or next(iter(sorts))
    if column not in sorts:
        raise BadInput(f"sort: {column!r} is none of {', '.join(sorts)}")
    return Order(column, paging.sort is None if paging.reverse is None else paging.reverse)


def cursor_of(row: Model, order: Order) -> str:
    field = row._meta.get_field(order.column)
    value: Any = field.value_to_string(row)  # type: ignore[union-attr]
    return base64.urlsafe_b64encode(orjson.dumps([order.column, order.reverse, value, row.pk])).decode()


def _position(model: type[Model], order: Order, cursor: str) -> Position:
    try:
        column, reverse, text, pk = orjson.loads(base64.urlsafe_b64decode(cursor))
        if (column, reverse) == order and isinstance(text, str) and type(pk) is int:
            return Position(model._meta.get_field(column).to_python(text), pk)  # type: ignore[union-attr]
    except (binascii.Error, ValueError, TypeError, ValidationError):
        pass
    raise BadInput("after: not the `next` of a page of this list in this order")

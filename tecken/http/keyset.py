"""Pages of a list that start after the last row of another page, and cost the same at any depth.

Rows with equal values in the order's column are sorted by their ids. The column must not be null.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)


class Order(NamedTuple):
    """Column that a list is sorted by, and its direction."""

    column: str
    reverse: bool

    @property
    def terms(self) -> tuple[str, str]:
        """Return the arguments of `order_by`."""
        sign = "-" if self.reverse else ""
        return f"{sign}{self.column}", f"{sign}pk"


class Position(NamedTuple):
    """Position of a row in an order: its value in the order's column, and its id."""

    value: Any
    pk: int


def page_after(
    rows: QuerySet[M], order: Order, after: Position | None, size: int, *, skipped: int = 0
) -> tuple[list[M], bool]:
    """Return up to `size` rows after the position, without the first `skipped`, and whether more follow."""
    following = rows.filter(_beyond(order, after)) if after else rows
    page = list(following.order_by(*order.terms)[skipped : skipped + size + 1])
    return page[:size], len(page) > size


def _beyond(order: Order, position: Position) -> Q:
    column, direction = order.column, "lt" if order.reverse else "gt"
    # The first comparison follows from the second. A database starts a search in an index from it, which it
    # cannot do from an OR.
    return Q(**{f"{column}__{direction}e": position.value}) & (
        Q(**{f"{column}__{direction}": position.value})
        | Q(**{column: position.value, f"pk__{direction}": position.pk})
    )

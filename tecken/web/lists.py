"""Lists on pages, with the filters and the paging of the API.

Filters, order and position are in the address, so that a list can be bookmarked, shared and refreshed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Schema
from pydantic import ValidationError

from tecken.errors import InvalidInput
from tecken.web.api.filters import Filter, combine_filters
from tecken.web.api.paging import DEEPEST_PAGE, ListPage, Paging, load_page

M = TypeVar("M", bound=Model)
S = TypeVar("S", bound=Schema)
ORDER_PARAMETERS = ("sort", "reverse")


class ColumnHeading(NamedTuple):
    """Heading of a column: the address that sorts by it, and its direction in the present order.

    `direction` is `ascending`, `descending` or `none`.
    """

    address: str
    direction: str


class PageList(NamedTuple, Generic[M]):
    """One page of a list, or the problem with its parameters.

    `query` has the parameters that were given. `first`, `previous` and `next` are addresses,
    "" if there is no such page.
    """

    query: dict[str, str]
    filtered: bool
    page: ListPage[M] | None = None
    problem: str = ""
    headings: Mapping[str, ColumnHeading] = {}
    first: str = ""
    previous: str = ""
    next: str = ""

    @property
    def rows(self) -> list[M]:
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
    given = {name: str(text) for name, text in request.GET.items() if text}
    query = {name: given[name] for name in (*fields.model_fields, *ORDER_PARAMETERS) if name in given}
    filtered = any(name in given for name in filters)
    try:
        paging = _parse(Paging, given)
        values = _parse(fields, given).dict()
        page = load_page(rows.filter(combine_filters(filters, values)), paging, sorts)
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
    except ValidationError as error:
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


def _neighbours(query: Mapping[str, str], paging: Paging, page: ListPage[M]) -> tuple[str, str, str]:
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

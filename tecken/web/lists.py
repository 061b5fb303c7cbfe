"""Lists for people, with the filters and pages of the API. What was asked for is in the address, so that it
can be kept, sent on and refreshed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Schema
from pydantic import ValidationError

from tecken.errors import BadInput
from tecken.web.api.filters import Filter, where
from tecken.web.api.paging import DEEPEST_PAGE, Page, Paging, page_of

M = TypeVar("M", bound=Model)
S = TypeVar("S", bound=Schema)
ORDER = ("sort", "reverse")


class Sorting(NamedTuple):
    """A column's heading: the address that sorts by it, and how it is sorted now."""

    address: str
    now: str


class Listed(NamedTuple, Generic[M]):
    """A page of a list, or what is wrong with what was asked. Addresses are '' where there is none."""

    asked: dict[str, str]
    filtered: bool
    page: Page[M] | None = None
    problem: str = ""
    sorting: Mapping[str, Sorting] = {}
    first: str = ""
    earlier: str = ""
    later: str = ""

    @property
    def rows(self) -> list[M]:
        return self.page.rows if self.page else []


def listed(
    request: HttpRequest,
    rows: QuerySet[M],
    wanted: type[Schema],
    by: Mapping[str, Filter],
    sorts: Collection[str],
) -> Listed[M]:
    """`wanted` has the form's fields, `by` what each of them filters; of `sorts` the first is the default."""
    given = {name: str(text) for name, text in request.GET.items() if text}
    asked = {name: given[name] for name in (*wanted.model_fields, *ORDER) if name in given}
    filtered = any(name in given for name in by)
    try:
        paging = _read(Paging, given)
        fields = _read(wanted, given).dict()
        page = page_of(rows.filter(where(by, fields)), paging, sorts)
    except BadInput as error:
        return Listed(asked, filtered, problem=str(error))
    return Listed(asked, filtered, page, "", _sortings(asked, paging, sorts), *_ways(asked, paging, page))


def _read(kind: type[S], given: Mapping[str, str]) -> S:
    """Raises BadInput."""
    fields = {name: text for name, text in given.items() if name in kind.model_fields}
    if any("\0" in text for text in fields.values()):  # PostgreSQL takes none
        raise BadInput("A text with a character that no name has")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{first['loc'][0]}: {first['msg']}") from None


def _sortings(asked: Mapping[str, str], paging: Paging, sorts: Collection[str]) -> dict[str, Sorting]:
    column = paging.sort or next(iter(sorts))
    reverse = paging.sort is None if paging.reverse is None else paging.reverse
    now = "descending" if reverse else "ascending"
    return {
        name: Sorting(
            _address(asked, sort=name, reverse="false" if reverse and name == column else "true"),
            now if name == column else "none",
        )
        for name in sorts
    }


def _ways(asked: Mapping[str, str], paging: Paging, page: Page[M]) -> tuple[str, str, str]:
    """By number as deep as numbers go, so that there is a way back; from there on after the last row."""
    numbered = not paging.after
    first = "" if numbered and paging.page == 1 else _address(asked)
    earlier = _address(asked, page=paging.page - 1) if numbered and paging.page > 1 else ""
    if page.next is None:
        return first, earlier, ""
    if numbered and paging.page < DEEPEST_PAGE:
        return first, earlier, _address(asked, page=paging.page + 1)
    return first, earlier, _address(asked, after=page.next)


def _address(asked: Mapping[str, str], **more: object) -> str:
    return f"?{urlencode({**asked, **more})}"

"""Operation that lists missing symbols: requested files that no source has."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Left
from django.db.models.lookups import Exact
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.download.models import INDEXED_CHARACTERS, MissingSymbol
from tecken.web.api import filters
from tecken.web.api.auth import TokenPermission
from tecken.web.api.paging import Paged, Paging, load_page, sort_field
from tecken.web.registration import VIEW_UPLOADS

SORTS = ("last_seen", "count")
router = Router(tags=["missing symbols"], auth=TokenPermission(*VIEW_UPLOADS))


def long_name(field: str, text: str) -> Q:
    """Match a file name. The index has the beginnings of names only: whole names may be too long for one."""
    beginning = Exact(Left(field, INDEXED_CHARACTERS), text[:INDEXED_CHARACTERS])
    return Q(beginning, **{field: text})


FILTERS: dict[str, filters.Filter] = {
    "debug_file": long_name,
    "debug_id": filters.identifier,
    "code_file": long_name,
    "code_id": filters.identifier,
    "count": filters.number,
    "symbolications": filters.number,
    "last_seen": filters.moment,
}


class MissingPaging(Paging):
    """Paging of missing symbols."""

    sort: str | None = sort_field(SORTS)


class MissingFilters(Schema):
    """Filters of missing symbols."""

    debug_file: str | None = None
    debug_id: str | None = None
    code_file: str | None = None
    code_id: str | None = None
    count: str | None = Field(None, examples=[">=10"])
    symbolications: str | None = Field(None, examples=[">0"])
    last_seen: str | None = Field(None, examples=["today"])


class MissingFile(Schema):
    """Missing symbol file."""

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    count: int = Field(description="number of requests")
    symbolications: int = Field(description="requests for symbolication among them; the others are downloads")
    last_seen: datetime


class MissingList(Paged):
    """Page of missing symbols."""

    missing: list[MissingFile]


@router.get("", response=MissingList, summary="List requested symbol files that no source has")
def list_missing(request: HttpRequest, paging: Query[MissingPaging], values: Query[MissingFilters]) -> object:  # noqa: ARG001
    """Return a page of missing symbols."""
    rows = MissingSymbol.objects.filter(filters.combine_filters(FILTERS, values.dict()))
    return load_page(rows, paging, SORTS).to_response("missing")

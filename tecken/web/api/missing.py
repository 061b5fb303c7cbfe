"""Symbol files that were asked for and nobody had: the most wanted, the latest, or those of one name."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Left
from django.db.models.lookups import Exact
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.download.models import INDEXED_CHARACTERS, MissingSymbol
from tecken.web.api import filters
from tecken.web.api.auth import ANY_UPLOAD, Permitted
from tecken.web.api.paging import Paged, Paging, page_of, sort_field

SORTS = ("last_seen", "count")
router = Router(tags=["missing symbols"], auth=Permitted(*ANY_UPLOAD))


def long_name(field: str, text: str) -> Q:
    """The name's beginning is what the index has: whole names may be too long for one."""
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
    sort: str | None = sort_field(SORTS)


class MissingFilters(Schema):
    debug_file: str | None = None
    debug_id: str | None = None
    code_file: str | None = None
    code_id: str | None = None
    count: str | None = Field(None, examples=[">=10"])
    symbolications: str | None = Field(None, examples=[">0"])
    last_seen: str | None = Field(None, examples=["today"])


class MissingRow(Schema):
    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    count: int = Field(description="how often it was asked for")
    symbolications: int = Field(description="how many of these requests were symbolications, not downloads")
    last_seen: datetime


class MissingRows(Paged):
    missing: list[MissingRow]


@router.get("", response=MissingRows, summary="List symbol files that nobody had")
def list_missing(request: HttpRequest, paging: Query[MissingPaging], wanted: Query[MissingFilters]) -> object:  # noqa: ARG001
    rows = MissingSymbol.objects.filter(filters.where(FILTERS, wanted.dict()))
    return page_of(rows, paging, SORTS).shown_as("missing")

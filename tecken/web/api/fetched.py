"""Operations for modules whose symbols came from upstreams: the list with totals, and the removal of one."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from django.db.models import Q
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from tecken.errors import Forbidden, NotFound
from tecken.storage.models import FetchedModule
from tecken.symbolication.fetched import remove, totals_of_upstreams
from tecken.symbols.ids import debug_ids_of_code_id, is_windows_name, normal_debug_id
from tecken.web import lists
from tecken.web.api.openapi import TokenPermission, grant_of
from tecken.web.api.uploads import AUDITOR
from tecken.web.auth import OPERATE
from tecken.web.identifiers import normal_id
from tecken.web.lists import Paged, Paging, load_page, sort_field

# Names and ids of modules show what users symbolicate, so they are for those who see all uploads or operate.
VIEW = (AUDITOR, *OPERATE)
CHANGE = "runtimeconfig.change_option"
SORTS = ("fetched_at", "stored_size")

router = Router(tags=["fetched"], auth=TokenPermission(*VIEW))


def match_id(_field: str, text: str) -> Q:
    """Match modules by a debug id, code id or build id, in any case. Raises InvalidInput."""
    some_id = normal_id(text)
    requested = {some_id, normal_debug_id(some_id), *debug_ids_of_code_id(some_id)}
    return Q(debug_id__in=requested) | Q(code_id__in=(some_id, some_id.lower()))


def match_file(field: str, text: str) -> Q:
    """Match the name of a debug file, without case if it is one of Windows."""
    return Q(**{field: text.lower() if is_windows_name(text) else text})


FILTERS: dict[str, lists.Filter] = {
    "any_id": match_id,
    "debug_file": match_file,
    "upstream": lists.exact,
    "format": lists.exact,
    "stored_size": lists.size,
    "fetched_at": lists.moment,
}


class FetchedPaging(Paging):
    """Paging of modules of upstreams."""

    sort: str | None = sort_field(SORTS)


class FetchedFilters(Schema):
    """Filters of modules of upstreams."""

    any_id: str | None = Field(None, description="debug id, code id or build id")
    debug_file: str | None = None
    upstream: str | None = Field(None, description="its name; `!name` for all others")
    format: str | None = Field(None, description="of the file that was fetched", examples=["pdb"])
    stored_size: str | None = Field(None, examples=[">=10MB"])
    fetched_at: str | None = Field(None, examples=[">=yesterday"])


class Fetched(Schema):
    """Module whose symbols came from an upstream."""

    id: int
    debug_file: str
    debug_id: str = Field(description="as it was requested: it may be a build id or a code id")
    code_file: str
    code_id: str = Field(description="of an ELF file its build id")
    upstream: str = Field(description="without its account")
    format: str = Field(description="of the file that was fetched")
    received_size: int = Field(description="bytes of the symbol file as received; of native files, unpacked")
    stored_size: int = Field(description="bytes of the page file")
    fetched_at: datetime


class UpstreamAmount(Schema):
    """Totals of one upstream."""

    upstream: str
    modules: int
    received: int = Field(description="bytes")
    stored: int = Field(description="bytes")


class FetchedList(Paged):
    """Page of modules of upstreams, with the totals of all pages."""

    fetched: list[Fetched]
    upstreams: list[UpstreamAmount]


@router.get("", response=FetchedList, summary="List modules whose symbols came from upstreams")
def list_fetched(
    request: HttpRequest,  # noqa: ARG001
    paging: Query[FetchedPaging],
    values: Query[FetchedFilters],
) -> object:
    """Return a page of modules, and the totals of each upstream."""
    rows = FetchedModule.objects.filter(lists.combine_filters(FILTERS, values.dict()))
    totals = [amounts._asdict() for amounts in totals_of_upstreams(rows)]
    return {**load_page(rows, paging, SORTS).to_response("fetched"), "upstreams": totals}


@router.delete(
    "module/{int:fetched_id}",
    response={HTTPStatus.NO_CONTENT: None},
    summary="Remove the symbols of a module that came from an upstream",
)
def remove_fetched(request: HttpRequest, fetched_id: int) -> object:
    """Remove them, with `runtimeconfig.change_option`. They are fetched again when they are needed."""
    if CHANGE not in grant_of(request).permissions:
        raise Forbidden(f"This needs the permission {CHANGE}")
    row = FetchedModule.objects.filter(pk=fetched_id).first()
    if row is None:
        raise NotFound("Module not found")
    remove(row)
    return Status(HTTPStatus.NO_CONTENT, None)

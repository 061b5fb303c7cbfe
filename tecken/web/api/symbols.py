"""Operations about symbol files: a module's names by debug or code identifiers (public), and missing symbols.

Missing symbols are requested files that no source has.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Left
from django.db.models.lookups import Exact
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.download.models import INDEXED_CHARACTERS, MissingSymbol
from tecken.errors import BadModule, NotFound
from tecken.storage.models import SymbolFile, match_name
from tecken.symbols.ids import code_id, debug_ids_of_code_id
from tecken.symbols.layouts import FileType
from tecken.web import lists
from tecken.web.api.openapi import TokenPermission
from tecken.web.api.uploads import address_of
from tecken.web.auth import VIEW_UPLOADS
from tecken.web.lists import (
    Paged,
    Paging,
    check_storable,
    debug_identifier,
    identifier,
    load_page,
    sort_field,
)

syminfo_router = Router(tags=["modules"])


class SymInfo(Schema):
    """Names of a module and the address of its symbol file."""

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    generator: str
    url: str


# Programs are generated from the names of operations, so these do not follow the module.
@syminfo_router.get(
    "{str:file}/{str:id}",
    response=SymInfo,
    summary="Find a module's names and its symbol file",
    operation_id="tecken_web_api_syminfo_show_syminfo",
)
def show_syminfo(request: HttpRequest, file: str, id: str) -> object:
    """Return the module with this debug file and debug id, or with this code file and code id."""
    file, id = check_storable("file", file), check_storable("id", id)
    row = (
        _find_newest(match_name("debug_file", file) & debug_identifier("debug_id", id))
        or _find_newest(match_name("code_file", file) & identifier("code_id", id.replace("-", "")))
        or _find_newest(match_name("debug_file", file) & Q(debug_id__in=_debug_ids(id)))
    )
    if row is None:
        raise NotFound("Code file / id Not Found")
    names = {name: getattr(row, name) for name in SymInfo.model_fields if name != "url"}
    return names | {"url": request.build_absolute_uri(address_of(row))}


def _debug_ids(text: str) -> tuple[str, ...]:
    """Return the debug ids that belong to a whole build id or UUID."""
    try:
        return debug_ids_of_code_id(code_id(text))
    except BadModule:
        return ()


def _find_newest(names: Q) -> SymbolFile | None:
    """Return the newest regular file, else the newest one of a try build."""
    stored = SymbolFile.objects.identifying().filter(names, key__endswith=FileType.SYMBOL_FILE.suffix)
    return stored.order_by("try_symbols", "-created_at", "-pk").first()


# Missing symbols

SORTS = ("last_seen", "count")
missing_router = Router(tags=["missing symbols"], auth=TokenPermission(*VIEW_UPLOADS))


def long_name(field: str, text: str) -> Q:
    """Match a file name. The index has the beginnings of names only: whole names may be too long for one."""
    beginning = Exact(Left(field, INDEXED_CHARACTERS), text[:INDEXED_CHARACTERS])
    return Q(beginning, **{field: text})


FILTERS: dict[str, lists.Filter] = {
    "debug_file": long_name,
    "debug_id": lists.identifier,
    "code_file": long_name,
    "code_id": lists.identifier,
    "count": lists.number,
    "symbolications": lists.number,
    "debuginfod": lists.number,
    "symsrv": lists.number,
    "last_seen": lists.moment,
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
    debuginfod: str | None = Field(None, examples=[">0"])
    symsrv: str | None = Field(None, examples=["0"])
    last_seen: str | None = Field(None, examples=["today"])


class MissingFile(Schema):
    """Missing symbol file."""

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    count: int = Field(description="number of requests: those below, and downloads of symbol files")
    symbolications: int = Field(description="requests for symbolication among them")
    debuginfod: int = Field(description="requests by build id among them")
    symsrv: int = Field(description="requests for native files among them, as SymSrv and SSQP make them")
    last_seen: datetime


class MissingList(Paged):
    """Page of missing symbols."""

    missing: list[MissingFile]


# Programs are generated from the names of operations, so these do not follow the module.
@missing_router.get(
    "",
    response=MissingList,
    summary="List requested symbol files that no source has",
    operation_id="tecken_web_api_missing_list_missing",
)
def list_missing(request: HttpRequest, paging: Query[MissingPaging], values: Query[MissingFilters]) -> object:  # noqa: ARG001
    """Return a page of missing symbols."""
    rows = MissingSymbol.objects.filter(lists.combine_filters(FILTERS, values.dict()))
    return load_page(rows, paging, SORTS).to_response("missing")

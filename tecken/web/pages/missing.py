"""Pages of missing symbols: requested files that no source has, and why a module's symbols are missing.

The latter have a button to look for the symbols again.
"""

from __future__ import annotations

import csv
import re
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote, urlencode

from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_safe

from tecken.download.missing import harmless_cell
from tecken.download.models import MissingSymbol
from tecken.errors import BadModule, InvalidInput, NotFound, Unavailable
from tecken.http.keyset import Order
from tecken.http.ratelimit import charge
from tecken.limits.port import Cost
from tecken.storage.models import FetchedModule, SymbolFile, module_of
from tecken.storage.native import find_parents_if_any
from tecken.storage.port import GUID_AND_AGE
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.symbolicated import explanation_address
from tecken.symbols.ids import ObjectId, code_id, file_name
from tecken.symbols.pagefile.file import Header
from tecken.web.api.symbols import FILTERS, MissingFilters
from tecken.web.api.uploads import AUDITOR
from tecken.web.auth import OPERATE, VIEW_UPLOADS, Group, SitePage, open_page, page
from tecken.web.identifiers import find_modules, find_same_guid, normal_id
from tecken.web.lists import ORDER_PARAMETERS, PageList, combine_filters, load_list
from tecken.web.module_facts import find_remedy_of_explained
from tecken.web.pages.explanation import (
    ONLY_TRY,
    NearMisses,
    decide,
    failed_parts,
    find_near_misses,
    is_looking,
    list_remembered,
    list_sources,
)

SORTS = {"count": "Most requested", "last_seen": "Latest"}
# Filters that are visible at first; the others are behind "More".
BASIC_FILTERS = ("debug_file", "debug_id", "count", "last_seen")
COLUMNS = (
    *("debug_file", "debug_id", "code_file", "code_id", "count", "last_seen"),
    *("symbolications", "debuginfod", "symsrv"),
)
NAMES = 4
# Bounds the CSV file to one or two megabytes.
MAX_CSV_ROWS = 10_000
CSV_HEADERS = {"Content-Disposition": 'attachment; filename="missing.csv"'}


class OrderTab(NamedTuple):
    """Tab that shows the list in one order."""

    title: str
    address: str
    is_current: bool


@open_page
@require_safe
def show_missing(request: HttpRequest) -> HttpResponse:
    """Show the list of missing symbols, or return it as a CSV file."""
    missing = load_list(request, MissingSymbol.objects.all(), MissingFilters, FILTERS, SORTS)
    if request.GET.get("format") == "csv" and not missing.problem:
        return _write_csv(missing)
    context = {
        "list": missing,
        "tabs": [_order_tab(missing, column) for column in SORTS],
        "more": any(name in missing.query for name in FILTERS if name not in BASIC_FILTERS),
        "csv": f"?{urlencode({**missing.query, 'format': 'csv'})}",
        "most": MAX_CSV_ROWS,
    }
    status = HTTPStatus.BAD_REQUEST if missing.problem else HTTPStatus.OK
    return render(request, "missing/list.html", context, status=status)


def _order_tab(missing: PageList[MissingSymbol], column: str) -> OrderTab:
    filters = {name: text for name, text in missing.query.items() if name not in ORDER_PARAMETERS}
    address = urlencode({**filters, "sort": column, "reverse": "true"})
    return OrderTab(SORTS[column], f"?{address}", _order_of(missing) == Order(column, reverse=True))


def _order_of(missing: PageList[MissingSymbol]) -> Order | None:
    for column, heading in missing.headings.items():
        if heading.direction != "none":
            return Order(column, heading.direction == "descending")
    return None


def _write_csv(missing: PageList[MissingSymbol]) -> HttpResponse:
    order = _order_of(missing)
    assert order is not None, "a list without a problem has an order"
    rows = MissingSymbol.objects.filter(combine_filters(FILTERS, missing.query)).order_by(*order.terms)
    response = HttpResponse(content_type="text/csv; charset=utf-8", headers=CSV_HEADERS)
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    for row in rows.values_list(*COLUMNS)[:MAX_CSV_ROWS]:
        names, (count, last_seen, *counts) = row[:NAMES], row[NAMES:]
        # Names come from clients, and a spreadsheet would run one that starts like a formula.
        writer.writerow([*map(harmless_cell, names), count, last_seen.isoformat(), *counts])
    return response


PAGE = SitePage(
    title="Missing",
    about="See the most requested missing modules.",
    group=Group.SYMBOLS,
    urls=[path("missing/", show_missing, name="missing")],
)


# Explanations

LOOK_AGAIN = (*VIEW_UPLOADS, "runtimeconfig.change_option")
DOWNLOAD_PATH = re.compile(r"(?:.*/)?([^/]+)/([0-9A-Fa-f]{9,40})(?:/[^/]*)?")
NEWEST_UPLOADS = 20
Reader = User | AnonymousUser


class ModuleRecords(NamedTuple):
    """Uploads and requests of a module in the database; None if the database does not respond."""

    files: list[SymbolFile] | None
    requests: dict[str, object] | None
    fetched: bool = False
    """Whether its symbols came from an upstream."""


@open_page
@require_safe
def show_form(request: HttpRequest) -> HttpResponse:
    """Show the form, or redirect to the page of the module that its fields name."""
    given = {name: request.GET.get(name, "").strip() for name in ("file", "id", "code_file", "code_id")}
    try:
        if given["code_file"] or given["code_id"]:
            return redirect(module_address(_find_by_code(given["code_file"], given["code_id"])))
        if given["id"] and not given["file"]:
            return _show_id(request, given)
        if given["file"]:
            return redirect(module_address(_find_module(given["file"], given["id"])))
    except NotFound as error:
        return _render_form(request, given, HTTPStatus.NOT_FOUND, str(error))
    except InvalidInput as error:
        return _render_form(request, given, HTTPStatus.BAD_REQUEST, str(error))
    return _render_form(request, given)


def _render_form(
    request: HttpRequest,
    given: dict[str, str],
    status: HTTPStatus = HTTPStatus.OK,
    problem: str = "",
    **found: list[ObjectId],
) -> HttpResponse:
    near = _find_builds(request, given) if problem and given["file"] else None
    context = {"given": given, "problem": problem, "near": near, "name": given["file"], **found}
    return render(request, "explain/form.html", context, status=status)


def _show_id(request: HttpRequest, given: dict[str, str]) -> HttpResponse:
    """Redirect to the page of the only module with an id; otherwise list them, or those with its GUID.

    Raises:
        InvalidInput: The text is no id.
        RateLimited: The caller has made too many requests. Database queries make this page worth a limit.
    """
    some_id = normal_id(given["id"])
    charge(request, "api", Cost())
    try:
        modules = find_modules(some_id, shows_short_ids=_has_any(request.user, *LOOK_AGAIN, *OPERATE))
        others = find_same_guid(some_id) if not modules else []
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    if len(modules) == 1:
        return redirect(module_address(modules[0]))
    if modules:
        return _render_form(request, given, modules=modules)
    problem = f"No file with the id {some_id} was uploaded. Its name is needed to search other sources."
    return _render_form(request, given, HTTPStatus.NOT_FOUND, problem, others=others)


def _find_builds(request: HttpRequest, given: dict[str, str]) -> NearMisses | None:
    """Return the stored builds of a debug file whose id is wrong or was left out.

    Raises:
        RateLimited: The caller has made too many requests. Database queries make this page worth a limit.
    """
    charge(request, "api", Cost())
    try:
        return _load_near_misses(file_name(given["file"]), "", request.user)
    except BadModule:
        return None


def _find_module(file: str, some_id: str) -> ObjectId:
    """Return the module of a file and an id, which may be the code id or build id of an uploaded file."""
    module = _parse_module(file, some_id)
    if len(module.debug_id) != GUID_AND_AGE:
        with suppress(NotFound):
            return _find_by_code(module.debug_file, module.debug_id)
    return module


def _parse_module(file: str, some_id: str) -> ObjectId:
    """Return the module that two fields name.

    The first field alone may have both names, as a download path or separated by white space. The id may be a
    GUID with braces and dashes.
    """
    if not some_id:
        match = DOWNLOAD_PATH.fullmatch(unquote(file))
        words = file.rsplit(None, 1)
        file, some_id = match.groups() if match else words if len(words) > 1 else (file, "")
    return ObjectId.parse(file, re.sub(r"[{}-]", "", some_id))


def _find_by_code(file: str, some_id: str) -> ObjectId:
    """Return the module with this code file and code id.

    Raises:
        NotFound: No uploaded file has these names.
        Unavailable: The database does not respond.
    """
    name, normal_id = file_name(file, "code file name"), code_id(some_id)
    try:
        return module_of(name, normal_id, with_try=True)
    except NotFound:
        module = ObjectId(name, normal_id)
        parents = find_parents_if_any(module) or find_parents_if_any(module.in_try())
        if parents is None:
            raise
        return ObjectId(name, parents.native_id)


def module_address(module: ObjectId) -> str:
    """Return the address of the page that explains a module."""
    return explanation_address(module.debug_file, module.debug_id)


@open_page
@require_http_methods(["GET", "HEAD", "POST"])
def show_module(request: HttpRequest, debug_file: str, debug_id: str) -> HttpResponse:
    """Explain a module, or look for its symbols again."""
    module = ObjectId.parse(debug_file, debug_id)
    if request.method == "POST":
        return _look_again(request, module)
    # Each view of this page searches the storage, so it counts against the caller's limit.
    charge(request, "api", Cost())
    return _render_module(request, module)


@page(*LOOK_AGAIN)
def _look_again(request: HttpRequest, module: ObjectId) -> HttpResponse:  # noqa: ARG001 - `page` passes it
    symbolication_services.explainer().look_again(module)
    return redirect(module_address(module))


def _render_module(request: HttpRequest, module: ObjectId) -> HttpResponse:
    user, explanation = request.user, symbolication_services.explainer().explain(module)
    # Addresses of storages and texts of errors are for users who operate the site or upload to it.
    shows_names = _has_any(user, *LOOK_AGAIN, *OPERATE)
    sources = list(list_sources(explanation, shows_names=shows_names))
    conclusion, records = decide(explanation, sources), _load_records(module, user)
    is_found = conclusion.kind == "success"
    near = None if is_found else _load_near_misses(module.debug_file, module.debug_id, user)
    header = explanation.page_file if isinstance(explanation.page_file, Header) else None
    context = {
        "module": module,
        "key": explanation.key,
        "conclusion": conclusion,
        "looking": is_looking(explanation),
        "sources": sources,
        "remembered": list(list_remembered(explanation, shows_names=shows_names, fetched=records.fetched)),
        "failed_parts": failed_parts(explanation, shows_names=shows_names),
        "about": header.metadata if header else None,
        "database": records,
        "near": near,
        "other_names": [] if is_found else _find_other_names(module),
        "newest": records.files[0] if records.files else None,
        "remedy": find_remedy_of_explained(
            module,
            explanation,
            request.build_absolute_uri("/").rstrip("/"),
            is_found=is_found,
            only_try=conclusion is ONLY_TRY,
            has_other_builds=near is not None and near.has_builds,
        ),
        "may_look": _has_any(user, *LOOK_AGAIN),
        "sees_uploads": _has_any(user, *VIEW_UPLOADS),
        "sees_all": user.has_perm(AUDITOR),
    }
    return render(request, "explain/module.html", context)


def _has_any(user: Reader, *permissions: str) -> bool:
    return any(map(user.has_perm, permissions))


def _load_records(module: ObjectId, user: Reader) -> ModuleRecords:
    try:
        fetched = FetchedModule.objects.filter(debug_id=module.debug_id, debug_file=module.name).exists()
        return ModuleRecords(_load_uploads(module, user), _count_requests(module), fetched)
    except DatabaseError:
        return ModuleRecords(None, None)


def _load_near_misses(debug_file: str, debug_id: str, user: Reader) -> NearMisses | None:
    """Return near misses, or None if the database does not respond."""
    try:
        return find_near_misses(debug_file, debug_id, shows_ids=_has_any(user, *LOOK_AGAIN, *OPERATE))
    except DatabaseError:
        return None


def _find_other_names(module: ObjectId) -> list[ObjectId]:
    """Return modules that have the id under another name; none if the database does not respond."""
    with suppress(DatabaseError):
        found = find_modules(module.debug_id, shows_short_ids=False)
        return [other for other in found if other.name != module.name]
    return []


def _load_uploads(module: ObjectId, user: Reader) -> list[SymbolFile]:
    """Return the module's newest files: the user's own, or those of all users for an auditor."""
    files = SymbolFile.objects.filter(debug_file=module.debug_file, debug_id=module.debug_id)
    if not user.has_perm(AUDITOR):
        if not isinstance(user, User):
            return []
        files = files.filter(upload__user=user)
    return list(files.select_related("upload__user").order_by("-id")[:NEWEST_UPLOADS])


def _count_requests(module: ObjectId) -> dict[str, object]:
    """Return how often the module was requested and missing, and the time of the last such request."""
    rows = MissingSymbol.objects.filter(debug_id=module.debug_id, debug_file=module.debug_file)
    return rows.aggregate(
        count=Sum("count"), symbolications=Sum("symbolications"), last_seen=Max("last_seen")
    )


EXPLAIN_PAGE = SitePage(
    title="Explain",
    about="See why a module has no symbols.",
    group=Group.SYMBOLS,
    urls=[
        path("explain/", show_form, name="explain"),
        path("explain/<str:debug_file>/<str:debug_id>/", show_module, name="explained"),
    ],
)

"""Pages of uploads and their files, with a form to upload an archive by hand."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus

import orjson
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from tecken.errors import Forbidden, InvalidInput, MalformedPageFile, StoreUnavailable, Unavailable
from tecken.http.decorators import Grant
from tecken.runtimeconfig import current
from tecken.storage.models import SymbolFile
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbols.layouts import FileKey, object_of
from tecken.symbols.pagefile.file import Header
from tecken.upload import archive_upload
from tecken.upload.models import Upload
from tecken.upload.protocols.archive import upload_archive
from tecken.upload.protocols.direct import REGULAR, UPLOADERS
from tecken.upload.resolved import count_modules, count_requests, load_report
from tecken.web.api import uploads as files_api
from tecken.web.api.uploads import (
    AUDITOR,
    FILTERS,
    LONG_COLUMNS,
    SORTS,
    UploadFilters,
    find_upload,
    visible_uploads,
)
from tecken.web.auth import VIEW_UPLOADS, Group, SitePage, accept_streamed_form, need, page
from tecken.web.lists import load_list
from tecken.web.pages.config import user_of

# The client of an upload that is older and unfinished has given up, so its page is not refreshed.
REFRESH_PERIOD = timedelta(hours=1)
# Items of each kind on an upload's page; the list of files and the API have all of them.
MAX_SHOWN = 100
# Filters of files that are visible at first; the others are behind "More".
BASIC_FILTERS = ("any_id", "debug_file", "created_at")
BASIC_UPLOAD_FILTERS = ("build", "branch", "commit", "created_at", "completed_at")


@accept_streamed_form
@page(*VIEW_UPLOADS)
@require_http_methods(["GET", "HEAD", "POST"])
def show_uploads(request: HttpRequest) -> HttpResponse:
    """Show the list of uploads, or receive an archive."""
    if request.method == "POST":
        need(user_of(request), *UPLOADERS)
        return _receive(request)
    return _render_list(request)


@page(*VIEW_UPLOADS)
@require_http_methods(["GET", "HEAD", "POST"])
def show_upload(request: HttpRequest, number: int) -> HttpResponse:
    """Show one upload, or cancel it."""
    upload = find_upload(_grant_of(request), number)
    if request.method == "POST":
        return _cancel(request, upload)
    stored = upload.files.order_by("pk").select_related("replaced_by__user")
    files = list(stored[:MAX_SHOWN])
    _add_problems(files)
    report = load_report(upload)
    upload.warned = bool(upload.warnings)  # type: ignore[attr-defined]
    context = {
        "upload": upload,
        "state": state_of(upload),
        "live": _is_in_progress(upload),
        "report": report,
        "resolved": [(module, report.last_use(module)) for module in report.modules[:MAX_SHOWN]],
        "requests": count_requests(report.modules),
        "modules_count": count_modules(upload),
        "is_fresh": timezone.now() - upload.created_at < REFRESH_PERIOD,
        "files": files,
        "files_count": stored.count(),
        "skipped": upload.skipped_keys[:MAX_SHOWN],
        "ignored": upload.ignored_keys[:MAX_SHOWN],
        "warnings": upload.warnings[:MAX_SHOWN],
        "most": MAX_SHOWN,
        "mine": upload.user == request.user,
    }
    return render(request, "uploads/upload.html", context)


@page(*VIEW_UPLOADS)
@require_safe
def show_files(request: HttpRequest) -> HttpResponse:
    """Show the list of files of all uploads that the user may see."""
    files = files_api.visible_files(_grant_of(request))
    file_list = load_list(request, files, files_api.FileFilters, files_api.FILE_FILTERS, files_api.FILE_SORTS)
    context = {
        "list": file_list,
        "more": any(name in file_list.query for name in files_api.FILE_FILTERS if name not in BASIC_FILTERS),
    }
    status = HTTPStatus.BAD_REQUEST if file_list.problem else HTTPStatus.OK
    return render(request, "files/list.html", context, status=status)


def _grant_of(request: HttpRequest) -> Grant:
    user = user_of(request)
    return Grant(user, None, frozenset(user.get_all_permissions()))


def _add_problems(files: Iterable[SymbolFile]) -> None:
    """Give each symbol file a `problem`: what its conversion found, if the store still has the result."""
    keys = ((file, FileKey(file.debug_file, file.debug_id, file.key.rpartition("/")[2])) for file in files)
    modules = {module: file for file, key in keys if (module := object_of(key))}
    with suppress(StoreUnavailable):
        for module, result in store_services.page_store().headers(list(modules)).items():
            modules[module].problem = _describe_problem(result)  # type: ignore[attr-defined]


def _describe_problem(result: Missing | bytes) -> str:
    if isinstance(result, Missing):
        return f"cannot be used: {result.reason}" if result.kind == "malformed" else ""
    with suppress(MalformedPageFile):
        dropped = Header.parse(result).metadata.dropped
        return "; ".join(f"{count:,} left out: {kind}" for kind, count in dropped.items())
    return ""


def state_of(upload: Upload) -> str:
    """Return `complete`, `cancelled`, `failed` or `unfinished`."""
    if upload.completed_at:
        return "complete"
    if upload.cancelled_at:
        return "cancelled"
    return "failed" if upload.error else "unfinished"


def _is_in_progress(upload: Upload) -> bool:
    return state_of(upload) == "unfinished" and timezone.now() - upload.created_at < REFRESH_PERIOD


def _receive(request: HttpRequest) -> HttpResponse:
    """Receive an archive as the upload endpoint does, and respond with a page."""
    # The middleware closes the path of the endpoint only, and this page has another one.
    if current.uploads_closed():
        raise Unavailable("Uploads are closed")
    response = upload_archive(request)
    document = orjson.loads(response.content)
    if response.status_code < HTTPStatus.BAD_REQUEST:
        return redirect("upload", document["upload"]["id"])
    rendered = _render_list(request, HTTPStatus(response.status_code), document["error"])
    if "Retry-After" in response:
        rendered["Retry-After"] = response["Retry-After"]
    return rendered


def _cancel(request: HttpRequest, upload: Upload) -> HttpResponse:
    try:
        archive_upload.cancel(upload, user_of(request))
        messages.success(request, "Cancelled. Files that are stored already stay.")
    except Forbidden:
        raise
    except InvalidInput as error:
        messages.error(request, str(error))
    return redirect("upload", upload.pk)


def _render_list(request: HttpRequest, status: HTTPStatus = HTTPStatus.OK, problem: str = "") -> HttpResponse:
    grant, user = _grant_of(request), user_of(request)
    has_warnings = ExpressionWrapper(~Q(warnings=[]), BooleanField())
    rows = visible_uploads(grant).defer(*LONG_COLUMNS).select_related("user").annotate(warned=has_warnings)
    upload_list = load_list(request, rows, UploadFilters, FILTERS, SORTS)
    if upload_list.problem and status == HTTPStatus.OK:
        status = HTTPStatus.BAD_REQUEST
    context = {
        "list": upload_list,
        "rows": [(row, state_of(row)) for row in upload_list.rows],
        "live": any(map(_is_in_progress, upload_list.rows)),
        "shows_all_users": AUDITOR in grant.permissions,
        "more": any(name in upload_list.query for name in FILTERS if name not in BASIC_UPLOAD_FILTERS),
        "problem": problem,
        "closed": current.uploads_closed(),
        **_form_context(user),
    }
    return render(request, "uploads/list.html", context, status=status)


def _form_context(user: User) -> dict[str, object]:
    return {
        "may_send": any(map(user.has_perm, UPLOADERS)),
        "to_try": not user.has_perm(REGULAR),
        "most_bytes": current.options().upload_max_bytes,
    }


PAGE = SitePage(
    title="Uploads",
    about="Upload symbols, and see the result of each upload.",
    group=Group.BUILDS,
    urls=[
        path("uploads/", show_uploads, name="uploads"),
        path("uploads/<int:number>/", show_upload, name="upload"),
    ],
    permissions=VIEW_UPLOADS,
)
FILES_PAGE = SitePage(
    title="Files",
    about="Find a symbol file.",
    group=Group.SYMBOLS,
    urls=[path("files/", show_files, name="files")],
    permissions=VIEW_UPLOADS,
)

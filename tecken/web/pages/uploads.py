"""What was uploaded and what became of it; and uploading by hand."""

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
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tecken import wiring
from tecken.errors import BadInput, CouldNotAsk, MalformedPageFile, NotAllowed, StoreAway
from tecken.http.decorators import Grant
from tecken.runtimeconfig import current
from tecken.storage.models import SymbolFile
from tecken.storage.port import FileKey
from tecken.store.port import Missing
from tecken.symbols.pagefile.file import Header
from tecken.upload import archive_upload
from tecken.upload.ingest import module_of
from tecken.upload.models import Upload
from tecken.upload.protocols.archive import upload_archive
from tecken.upload.protocols.direct import REGULAR, UPLOADERS
from tecken.web.api.uploads import AUDITOR, FILTERS, LONG, SORTS, UploadFilters, one, seen_by
from tecken.web.auth import need, page, streams
from tecken.web.lists import listed
from tecken.web.menu import VIEW_UPLOADS
from tecken.web.pages.config import user_of

PLACE = {"section": "uploads"}
WATCHED = timedelta(hours=1)  # what is unfinished then has been given up by its client
SHOWN = 100  # of each kind, the rest is in the list of files or in the API


@streams
@page(*VIEW_UPLOADS)
@require_http_methods(["GET", "HEAD", "POST"])
def uploads(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        need(user_of(request), *UPLOADERS)
        return _send(request)
    return _list(request)


@page(*VIEW_UPLOADS)
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest, number: int) -> HttpResponse:
    found = one(grant_of(request), number)
    if request.method == "POST":
        return _cancel(request, found)
    shown = found.files.order_by("pk").select_related("replaced_by__user")
    files = list(shown[:SHOWN])
    _add_problems(files)
    found.warned = bool(found.warnings)  # type: ignore[attr-defined]
    context = {
        **PLACE,
        "upload": found,
        "state": state(found),
        "live": _moves(found),
        "files": files,
        "files_count": shown.count(),
        "skipped": found.skipped_keys[:SHOWN],
        "ignored": found.ignored_keys[:SHOWN],
        "warnings": found.warnings[:SHOWN],
        "most": SHOWN,
        "mine": found.user == request.user,
    }
    return render(request, "uploads/upload.html", context)


def grant_of(request: HttpRequest) -> Grant:
    user = user_of(request)
    return Grant(user, None, frozenset(user.get_all_permissions()))


def _add_problems(files: Iterable[SymbolFile]) -> None:
    """Give each symbol file a `problem`: what its conversion found, if the store still has the result."""
    keys = ((file, FileKey(file.debug_file, file.debug_id, file.key.rpartition("/")[2])) for file in files)
    modules = {module: file for file, key in keys if (module := module_of(key))}
    with suppress(StoreAway):
        for module, result in wiring.page_store().headers(list(modules)).items():
            modules[module].problem = _problem(result)  # type: ignore[attr-defined]


def _problem(result: Missing | bytes) -> str:
    if isinstance(result, Missing):
        return f"cannot be used: {result.reason}" if result.kind == "malformed" else ""
    with suppress(MalformedPageFile):
        dropped = Header.parse(result).metadata.dropped
        return "; ".join(f"{count:,} left out: {kind}" for kind, count in dropped.items())
    return ""


def state(upload: Upload) -> str:
    if upload.completed_at:
        return "complete"
    if upload.cancelled_at:
        return "cancelled"
    return "failed" if upload.error else "unfinished"


def _moves(upload: Upload) -> bool:
    return state(upload) == "unfinished" and timezone.now() - upload.created_at < WATCHED


def _send(request: HttpRequest) -> HttpResponse:
    """As a program's upload, answered with pages."""
    if current.uploads_closed():
        raise CouldNotAsk("Uploads are closed")
    reply = upload_archive(request)
    told = orjson.loads(reply.content)
    if reply.status_code >= HTTPStatus.BAD_REQUEST:
        shown = _list(request, HTTPStatus(reply.status_code), told["error"])
        if "Retry-After" in reply:
            shown["Retry-After"] = reply["Retry-After"]
        return shown
    return redirect("upload", told["upload"]["id"])


def _cancel(request: HttpRequest, found: Upload) -> HttpResponse:
    try:
        archive_upload.cancel(found, user_of(request))
        messages.success(request, "Cancelled. What was stored already stays.")
    except NotAllowed:
        raise
    except BadInput as error:
        messages.error(request, str(error))
    return redirect("upload", found.pk)


def _list(request: HttpRequest, status: HTTPStatus = HTTPStatus.OK, problem: str = "") -> HttpResponse:
    grant, user = grant_of(request), user_of(request)
    has_warnings = ExpressionWrapper(~Q(warnings=[]), BooleanField())
    rows = seen_by(grant).defer(*LONG).select_related("user").annotate(warned=has_warnings)
    found = listed(request, rows, UploadFilters, FILTERS, SORTS)
    if found.problem and status == HTTPStatus.OK:
        status = HTTPStatus.BAD_REQUEST
    context = {
        **PLACE,
        "list": found,
        "rows": [(row, state(row)) for row in found.rows],
        "live": any(map(_moves, found.rows)),
        "everybody": AUDITOR in grant.permissions,
        "problem": problem,
        "closed": current.uploads_closed(),
        **_sending(user),
    }
    return render(request, "uploads/list.html", context, status=status)


def _sending(user: User) -> dict[str, object]:
    return {
        "may_send": any(map(user.has_perm, UPLOADERS)),
        "to_try": not user.has_perm(REGULAR),
        "most_bytes": current.options().upload_max_bytes,
    }

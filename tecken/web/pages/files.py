"""The files of uploads."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tecken.web.api.files import FILTERS, SORTS, FileFilters, seen_by
from tecken.web.auth import page
from tecken.web.lists import listed
from tecken.web.menu import VIEW_UPLOADS
from tecken.web.pages.uploads import grant_of

BASIC = ("debug_file", "debug_id", "created_at")


@page(*VIEW_UPLOADS)
@require_safe
def files(request: HttpRequest) -> HttpResponse:
    found = listed(request, seen_by(grant_of(request)), FileFilters, FILTERS, SORTS)
    context = {
        "section": "files",
        "list": found,
        "more": any(name in found.asked for name in FILTERS if name not in BASIC),
    }
    status = HTTPStatus.BAD_REQUEST if found.problem else HTTPStatus.OK
    return render(request, "files/list.html", context, status=status)

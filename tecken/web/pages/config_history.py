"""What was changed, by whom, and back to it."""

from __future__ import annotations

from http import HTTPStatus

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_safe

from tecken.errors import Absent, Conflict
from tecken.runtimeconfig import history as kept
from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.options import CATALOGUE
from tecken.web.auth import need, page
from tecken.web.pages import config
from tecken.web.pages.config import CHANGE, PLACE, VIEW, author, tell, user_of, version_in
from tecken.web.registration import Page

VERSIONS_SHOWN = 25


@page(CHANGE, VIEW)
@require_safe
def versions(request: HttpRequest) -> HttpResponse:
    """The latest first; `?option=` those that changed it, `?before=` the page that follows."""
    found = Version.objects.order_by("-number").prefetch_related("changes")
    option = request.GET.get("option", "").replace("\0", "")  # PostgreSQL takes none
    if option:
        of_option = Q(changes__entry=option) | Q(changes__entry__startswith=f"{option}@")
        found = found.filter(of_option).distinct()
    before = version_in(request.GET.get("before", ""))
    if before:
        found = found.filter(number__lt=before)
    listed = list(found[: VERSIONS_SHOWN + 1])
    context = {
        **PLACE,
        "tab": "history",
        "versions": [(one, differences(one)) for one in listed[:VERSIONS_SHOWN]],
        "before": listed[VERSIONS_SHOWN - 1].number if len(listed) > VERSIONS_SHOWN else None,
        "newest": kept.newest().number,
        "may_change": user_of(request).has_perm(CHANGE),
        "option": option,
        "names": list(CATALOGUE),
    }
    return render(request, "config/history.html", context)


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def version(request: HttpRequest, number: int) -> HttpResponse:
    """One version, what was changed since, and, when it is sent, back to it."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        return _roll_back(request, number)
    return _version(request, number)


def differences(version: Version) -> list[tuple[str, str | None, str | None]]:
    return [(one.entry, one.old, one.new) for one in version.changes.all()]


def _roll_back(request: HttpRequest, number: int) -> HttpResponse:
    try:
        read = version_in(request.POST.get("version", ""))
        outcome = service.rollback(number, expected=read, **author(request))
    except Conflict as error:
        return _version(request, number, HTTPStatus.CONFLICT, str(error))
    tell(request, outcome)
    return redirect("config")


def _version(
    request: HttpRequest, number: int, status: HTTPStatus = HTTPStatus.OK, conflict: str = ""
) -> HttpResponse:
    shown = Version.objects.filter(number=number).prefetch_related("changes").first()
    if shown is None:
        raise Absent(f"There is no version {number}")
    newest = kept.newest()
    context = {
        **PLACE,
        "tab": "history",
        "shown": shown,
        "changed": differences(shown),
        "newest": newest,
        "since": [(key, now, then) for key, (then, now) in service.diff(number, newest.number).items()],
        "conflict": conflict,
        "why": request.POST.get("why", ""),
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "config/version.html", context, status=status)


PAGE = Page(
    title="History of the configuration",
    part_of=config.PAGE,
    urls=[
        path("config/history/", versions, name="config-history"),
        path("config/versions/<int:number>/", version, name="config-version"),
    ],
)

"""Pages of the versions: who changed what, and the way back."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_safe

from tecken.errors import Conflict, NotFound
from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.options import CATALOGUE
from tecken.web.auth import need, page
from tecken.web.pages import config
from tecken.web.pages.config import CHANGE, VIEW, author, parse_version, show_outcome, user_of
from tecken.web.registration import SitePage

VERSIONS_SHOWN = 25


@page(CHANGE, VIEW)
@require_safe
def show_versions(request: HttpRequest) -> HttpResponse:
    """List versions, newest first: those of `?option=`, and those before `?before=`."""
    found = Version.objects.order_by("-number").prefetch_related("changes")
    # PostgreSQL refuses a NUL.
    option = request.GET.get("option", "").replace("\0", "")
    if option:
        found = found.filter(pk__in=service.find_changes(option).values("version"))
    before = parse_version(request.GET.get("before", ""))
    if before:
        found = found.filter(number__lt=before)
    rows = list(found[: VERSIONS_SHOWN + 1])
    context = {
        "tab": "history",
        "versions": [(version, _list_changes(version)) for version in rows[:VERSIONS_SHOWN]],
        "before": rows[VERSIONS_SHOWN - 1].number if len(rows) > VERSIONS_SHOWN else None,
        "newest": service.newest().number,
        "may_change": user_of(request).has_perm(CHANGE),
        "option": option,
        "names": list(CATALOGUE),
    }
    return render(request, "config/history.html", context)


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_version(request: HttpRequest, number: int) -> HttpResponse:
    """Show a version and what changed since; roll back to it."""
    if request.method != "POST":
        return _render(request, number)
    need(user_of(request), CHANGE)
    try:
        expected = parse_version(request.POST.get("version", ""))
        outcome = service.rollback(number, expected=expected, **author(request, "rollback"))
    except Conflict as error:
        return _render(request, number, HTTPStatus.CONFLICT, str(error))
    show_outcome(request, outcome)
    return redirect("config")


def _list_changes(version: Version) -> list[tuple[str, str | None, str | None]]:
    return [(change.entry, change.old, change.new) for change in version.changes.all()]


def _render(
    request: HttpRequest, number: int, status: HTTPStatus = HTTPStatus.OK, conflict: str = ""
) -> HttpResponse:
    version = Version.objects.filter(number=number).first()
    if version is None:
        raise NotFound(f"There is no version {number}")
    newest = service.newest()
    since = service.difference(newest.values, version.values)
    context = {
        "tab": "history",
        "version": version,
        "changed": _list_changes(version),
        "newest": newest,
        "since": [(key, present, former) for key, (present, former) in since.items()],
        "conflict": conflict,
        "why": request.POST.get("why", ""),
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "config/version.html", context, status=status)


PAGE = SitePage(
    title="History of the configuration",
    part_of=config.PAGE,
    urls=[
        path("config/history/", show_versions, name="config-history"),
        path("config/versions/<int:number>/", show_version, name="config-version"),
    ],
)

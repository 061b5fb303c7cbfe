"""Closing the site, or uploads only, and opening it again."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.errors import BadInput
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.maintenance import parse
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.shelf import Level
from tecken.web.auth import need, page
from tecken.web.pages import config
from tecken.web.pages.config import CHANGE, PLACE, VIEW, author, user_of
from tecken.web.pages.config_form import instant
from tecken.web.registration import Page

LEVELS: dict[str, Level] = {"full": "full", "uploads": "uploads"}
WORDS = {
    "full": {
        "title": "The whole site",
        "closed": "Under maintenance",
        "text": "Open.",
        "open": "Open the site",
    },
    "uploads": {
        "title": "Uploads",
        "closed": "Closed",
        "text": "Open, as far as the site is.",
        "open": "Open uploads",
    },
}


class Wanted(NamedTuple):
    message: str
    retry_after: float | None
    until: datetime | None


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def maintenance(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _form(request)
    need(user_of(request), CHANGE)
    level = LEVELS.get(request.POST.get("level", ""))
    if level is None:
        raise BadInput("level: should be full or uploads")
    if request.POST.get("action") == "end":
        service.end_maintenance(level)
        messages.success(request, "The site is open." if level == "full" else "Uploads are open.")
        return redirect("maintenance")
    return _begin(request, level)


def _begin(request: HttpRequest, level: Level) -> HttpResponse:
    try:
        service.begin_maintenance(level, *_wanted(request), author(request)["by"])
    except BadInput as error:
        return _form(request, str(error), HTTPStatus.BAD_REQUEST)
    closed = "The site is under maintenance" if level == "full" else "Uploads are closed"
    messages.warning(request, f"{closed}: every process knows within a second.")
    return redirect("maintenance")


def _wanted(request: HttpRequest) -> Wanted:
    names = ("message", "retry_after", "until")
    message, retry_after, until = (request.POST.get(name, "").strip() for name in names)
    return Wanted(
        CATALOGUE["maintenance_message"].value(message) if message else "",
        CATALOGUE["maintenance_retry_after_seconds"].value(retry_after) if retry_after else None,
        instant(until),
    )


def _form(request: HttpRequest, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    glance = current.shelf().glance()
    told = {"full": glance.maintenance, "uploads": glance.uploads_closed}
    retry_after = CATALOGUE["maintenance_retry_after_seconds"]
    context = {
        **PLACE,
        "tab": "maintenance",
        "levels": [
            {"level": level, "now": None if text is None else parse(text), **WORDS[level]}
            for level, text in told.items()
        ],
        "problem": problem,
        "sent": {name: request.POST.get(name, "") for name in ("level", "message", "retry_after", "until")},
        "message": current.options().maintenance_message,
        "retry_after": retry_after.shown(current.options().maintenance_retry_after_seconds),
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "config/maintenance.html", context, status=status)


PAGE = Page(
    title="Maintenance",
    part_of=config.PAGE,
    urls=[path("config/maintenance/", maintenance, name="maintenance")],
)

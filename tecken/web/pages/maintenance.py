"""Page that closes the site, or uploads only, and opens it again."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.errors import InvalidInput
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Level
from tecken.runtimeconfig.options import find_option
from tecken.web.auth import need, page
from tecken.web.pages import config
from tecken.web.pages.config import CHANGE, VIEW, author, user_of
from tecken.web.pages.config_form import parse_instant
from tecken.web.registration import SitePage

LEVELS: dict[str, Level] = {"full": "full", "uploads": "uploads"}
TITLES = {"full": "The whole site", "uploads": "Uploads"}
FIELDS = ("level", "message", "retry_after", "until")


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_maintenance(request: HttpRequest) -> HttpResponse:
    """Show both levels, or begin or end one."""
    if request.method != "POST":
        return _render(request)
    need(user_of(request), CHANGE)
    level = LEVELS.get(request.POST.get("level", ""))
    if level is None:
        raise InvalidInput("level: should be full or uploads")
    if request.POST.get("action") == "end":
        service.end_maintenance(level)
        messages.success(request, "The site is open." if level == "full" else "Uploads are open.")
        return redirect("maintenance")
    try:
        _begin(request, level)
    except InvalidInput as error:
        return _render(request, str(error), HTTPStatus.BAD_REQUEST)
    text = "The site is under maintenance" if level == "full" else "Uploads are closed"
    messages.warning(request, f"{text}: every process applies this within a second.")
    return redirect("maintenance")


def _begin(request: HttpRequest, level: Level) -> None:
    _level, message, retry_after, until = (request.POST.get(name, "").strip() for name in FIELDS)
    service.begin_maintenance(
        level,
        find_option("maintenance_message").parse(message) if message else "",
        find_option("maintenance_retry_after_seconds").parse(retry_after) if retry_after else None,
        parse_instant(until),
        author(request, "page")["by"],
    )


def _render(request: HttpRequest, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    levels, options = current.backend().head().levels, current.options()
    retry_after = find_option("maintenance_retry_after_seconds")
    context = {
        "tab": "maintenance",
        "levels": [(level, TITLES[level], state) for level, state in levels.items()],
        "problem": problem,
        "sent": {name: request.POST.get(name, "") for name in FIELDS},
        "message": options.maintenance_message,
        "retry_after": retry_after.format(options.maintenance_retry_after_seconds),
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "config/maintenance.html", context, status=status)


PAGE = SitePage(
    title="Maintenance",
    part_of=config.PAGE,
    urls=[path("config/maintenance/", show_maintenance, name="maintenance")],
)

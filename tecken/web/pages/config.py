"""Pages of the configuration: the options, which can be changed together, versions and maintenance.

The pages of the versions show who changed what, and the way back. The page of maintenance closes the site, or
uploads only, and opens it again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import get_args

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from tecken.errors import BadOption, Conflict, InvalidInput, Unavailable
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Level
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.option import shorten
from tecken.runtimeconfig.options import CATALOGUE, find_option
from tecken.runtimeconfig.snapshot import Snapshot, build_rows, find_unknown, list_late_first, list_processes
from tecken.runtimeconfig.undo import Later, plan_undo, undo
from tecken.web.auth import Group, SitePage, need, page
from tecken.web.formatting import escape_invisible
from tecken.web.pages.config_form import (
    WINDOW,
    Edits,
    OptionFilter,
    build_sections,
    parse_instant,
    read_edits,
)

CHANGE, VIEW = "runtimeconfig.change_option", "runtimeconfig.view_option"
# Time for all processes to apply a change. One that takes longer is stuck.
WAIT_SECONDS = 1.0
MAX_LISTED = 5
# A longer number does not fit into the column of versions.
MAX_DIGITS = 18


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_options(request: HttpRequest) -> HttpResponse:
    """Show or save the form. With `?known=`, return a notice if there is a newer version than that one."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        return _save(request)
    known, newest = request.GET.get("known"), service.newest()
    if known is None:
        return _render_form(request, Edits({}, {}))
    if known == str(newest.number):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return _render(request, "news", newest=newest, changed=list(newest.changed))


def _save(request: HttpRequest) -> HttpResponse:
    number, now = _parse_version(request.POST.get("version", "")), timezone.now()
    texts = service.find_texts(number) if number else {}
    form = {name: str(text) for name, text in request.POST.items()}
    # The form is compared with the version that it shows, not with the newest one. Otherwise a field that the
    # user left alone would undo the change that another user has made meanwhile.
    edits = read_edits(form, build_rows(Snapshot(number, "", texts), now), texts, now)
    if "look" in form:
        is_comparison = form["look"] != "filter" or number != service.newest().number
        return _render_form(request, edits, is_comparison=is_comparison)
    if edits.problems:
        return _render_form(request, edits, HTTPStatus.BAD_REQUEST)
    try:
        if edits.changes:
            outcome = service.change(edits.changes, expected=number, **_author(request, "page"))
            return _redirect_with(request, outcome)
    except BadOption as error:
        return _render_form(request, edits._replace(problems=error.problems), HTTPStatus.BAD_REQUEST)
    except Conflict as error:
        return _render_form(request, edits, HTTPStatus.CONFLICT, conflict=str(error))
    messages.info(request, "Nothing was changed.")
    return redirect("config")


def _render_form(
    request: HttpRequest,
    edits: Edits,
    status: HTTPStatus = HTTPStatus.OK,
    conflict: str = "",
    is_comparison: bool = False,
) -> HttpResponse:
    newest = service.newest()
    rows = build_rows(newest.snapshot, timezone.now())
    try:
        processes = list_processes(current.backend().reports(), newest.number, newest.stamp)
    except Unavailable:
        processes = None
    shown = OptionFilter.of({**request.GET.dict(), **request.POST.dict()})
    sections = build_sections(rows, edits, service.find_last_changes(), shown)
    window_problems = [problem for key, problem in edits.problems.items() if "@" in key or key == "window"]
    return _render(
        request,
        "options",
        status=status,
        newest=newest,
        state=current.state(),
        processes=processes,
        listed=list_late_first(processes or []),
        applied=sum(has_applied for _report, has_applied in processes or ()),
        filter=shown,
        sections=sections,
        found=sum(not field["is_hidden"] for section in sections for field in section.fields),
        unset={key for key, text in edits.changes.items() if text is None},
        unknown=find_unknown(newest.snapshot),
        names=list(CATALOGUE),
        window={name.removeprefix("window-"): request.POST.get(name, "") for name in WINDOW},
        window_problem=next(iter(window_problems), ""),
        problems=len(edits.problems),
        conflict=conflict,
        is_comparison=is_comparison,
    )


def _render(
    request: HttpRequest, template: str, status: HTTPStatus = HTTPStatus.OK, **context: object
) -> HttpResponse:
    """Render a template of the configuration, with what all of them need."""
    context |= {"may_change": user_of(request).has_perm(CHANGE), "why": request.POST.get("why", "")}
    context["tab"] = "history" if template == "version" else template
    return render(request, f"config/{template}.html", context, status=status)


def user_of(request: HttpRequest) -> User:
    """Return the user of a page that requires a log-in."""
    assert isinstance(request.user, User), "pages require a user"
    return request.user


def _author(request: HttpRequest, source: str) -> service.Author:
    """Return the author of a change, with the reason in the form."""
    user, why = user_of(request), request.POST.get("why", "").strip()
    return {"by": user.email or user.get_username(), "user": user, "why": why, "source": source}


def _parse_version(text: str) -> int:
    """Return the version number; 0, before the first one, for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0


def _redirect_with(request: HttpRequest, outcome: service.Outcome) -> HttpResponse:
    """Show the options, with a message of the changes and the processes that have them."""
    if outcome.changed:
        changes = [f"{key} {_quote(old)} → {_quote(new)}" for key, (old, new) in outcome.changed.items()]
        is_complete, progress = _wait_for_rollout(outcome)
        level = messages.SUCCESS if is_complete else messages.WARNING
        messages.add_message(request, level, f"Version {outcome.version}: {_list(changes)}; {progress}.")
    else:
        messages.info(request, "Nothing was changed.")
    return redirect("config")


def _wait_for_rollout(outcome: service.Outcome) -> tuple[bool, str]:
    if not outcome.distributed:
        return False, "recorded, but Redis does not answer: the processes get it when it does"
    try:
        progress = service.wait_for_rollout(outcome, WAIT_SECONDS)
    except Unavailable:
        return False, "Redis does not answer, so it is unknown which processes have it"
    if not progress.processes:
        return True, "no process has reported yet"
    if not progress.waiting:
        return True, str(progress)
    return False, f"{progress}; waiting for {_list(progress.waiting)}"


def _quote(text: str | None) -> str:
    return "default" if text is None else escape_invisible(shorten(text)) or "(empty)"


def _list(names: list[str]) -> str:
    rest = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")


PAGE = SitePage(
    title="Configuration",
    about="Change options while the site runs.",
    group=Group.OPERATION,
    urls=[path("config/", show_options, name="config")],
    permissions=(VIEW, CHANGE),
    is_open_under_maintenance=True,
)


# Versions

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
    if before := _parse_version(request.GET.get("before", "")):
        found = found.filter(number__lt=before)
    rows = list(found[: VERSIONS_SHOWN + 1])
    return _render(
        request,
        "history",
        versions=rows[:VERSIONS_SHOWN],
        before=rows[VERSIONS_SHOWN - 1].number if len(rows) > VERSIONS_SHOWN else None,
        newest=service.newest().number,
        option=option,
        names=list(CATALOGUE),
    )


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_version(request: HttpRequest, number: int) -> HttpResponse:
    """Show a version and what changed since; undo it, or roll back to it."""
    conflict = ""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        try:
            return _redirect_with(request, _restore(request, number))
        except Conflict as error:
            conflict = str(error)
    version, newest = service.find_version(number), service.newest()
    plan = plan_undo(version, newest.values, timezone.now())
    return _render(
        request,
        "version",
        status=HTTPStatus.CONFLICT if conflict else HTTPStatus.OK,
        version=version,
        newest=newest,
        since=service.difference(newest.values, version.values),
        undo=plan,
        may_undo=user_of(request).has_perm(CHANGE) and bool(plan.changes or plan.later),
        conflict=conflict,
    )


def _restore(request: HttpRequest, number: int) -> service.Outcome:
    expected = _parse_version(request.POST.get("version", ""))
    if request.POST.get("action") != "undo":
        return service.rollback(number, expected=expected, **_author(request, "rollback"))
    later: Later | None = next(
        (choice for choice in get_args(Later) if choice == request.POST.get("later")), None
    )
    return undo(number, later=later, expected=expected, **_author(request, "page"))


HISTORY_PAGE = SitePage(
    title="History of the configuration",
    part_of=PAGE,
    urls=[
        path("config/history/", show_versions, name="config-history"),
        path("config/versions/<int:number>/", show_version, name="config-version"),
    ],
)


# Maintenance

TITLES: dict[Level, str] = {"full": "The whole site", "uploads": "Uploads"}
FIELDS = ("message", "retry_after", "until")


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_maintenance(request: HttpRequest) -> HttpResponse:
    """Show both levels, or begin or end one."""
    if request.method != "POST":
        return _render_maintenance(request)
    need(user_of(request), CHANGE)
    level: Level | None = next((level for level in TITLES if level == request.POST.get("level")), None)
    if level is None:
        raise InvalidInput("level: should be full or uploads")
    if request.POST.get("action") == "end":
        service.end_maintenance(level)
        messages.success(request, "The site is open." if level == "full" else "Uploads are open.")
        return redirect("maintenance")
    message, retry_after, until = (request.POST.get(name, "").strip() for name in FIELDS)
    try:
        service.begin_maintenance(
            level,
            find_option("maintenance_message").parse(message) if message else "",
            find_option("maintenance_retry_after_seconds").parse(retry_after) if retry_after else None,
            parse_instant(until),
            _author(request, "page")["by"],
        )
    except InvalidInput as error:
        return _render_maintenance(request, str(error), HTTPStatus.BAD_REQUEST)
    text = "The site is under maintenance" if level == "full" else "Uploads are closed"
    messages.warning(request, f"{text}: every process applies this within a second.")
    return redirect("maintenance")


def _render_maintenance(
    request: HttpRequest, problem: str = "", status: HTTPStatus = HTTPStatus.OK
) -> HttpResponse:
    levels, options = current.backend().head().levels, current.options()
    retry_after = find_option("maintenance_retry_after_seconds")
    return _render(
        request,
        "maintenance",
        status=status,
        levels=[(level, TITLES[level], state) for level, state in levels.items()],
        problem=problem,
        sent={name: request.POST.get(name, "") for name in ("level", *FIELDS)},
        message=options.maintenance_message,
        retry_after=retry_after.format(options.maintenance_retry_after_seconds),
    )


MAINTENANCE_PAGE = SitePage(
    title="Maintenance",
    part_of=PAGE,
    urls=[path("config/maintenance/", show_maintenance, name="maintenance")],
)

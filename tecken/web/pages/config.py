"""The options: what they are, and changing several at once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tecken.errors import BadOption, Conflict, CouldNotAsk
from tecken.runtimeconfig import current, history, service
from tecken.runtimeconfig.models import Change
from tecken.runtimeconfig.option import cut
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.shelf import Report
from tecken.runtimeconfig.shown import applied, problems, rows, strays
from tecken.runtimeconfig.snapshot import Snapshot, snapshot
from tecken.web.auth import need, page
from tecken.web.formatting import visible
from tecken.web.pages.config_form import WINDOW, Edits, edits, fields
from tecken.web.registration import Page

CHANGE, VIEW = "runtimeconfig.change_option", "runtimeconfig.view_option"
WAIT_SECONDS = 1.0  # for all processes to have a change: longer than that somebody is stuck
MOST_LISTED = 5
MOST_DIGITS = 18
PLACE = {"section": "config"}


class Fleet(NamedTuple):
    """Who has applied the newest version. No reports: Redis did not answer."""

    reports: list[tuple[Report, bool]] | None

    @property
    def applied(self) -> int:
        return sum(has for _report, has in self.reports or [])


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def options(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        need(user_of(request), CHANGE)
        return _save(request)
    told = request.GET.get("told")
    return _form(request, Edits({}, {})) if told is None else _news(request, told)


def _news(request: HttpRequest, told: str) -> HttpResponse:
    """What an open form is told of changes since version `told`: nothing to show, or who made which."""
    newest = history.newest()
    if str(newest.number) == told:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    context = {
        "newest": newest,
        "version": newest.number,
        "changed": list(newest.changes.values_list("entry", flat=True)) if newest.pk else [],
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "config/news.html", context)


def _save(request: HttpRequest) -> HttpResponse:
    read = version_in(request.POST.get("version", ""))
    texts = service.at(read) if read else {}
    sent = {name: str(text) for name, text in request.POST.items()}
    made = edits(sent, rows(snapshot(read, "", texts), timezone.now()), texts, timezone.now())
    if "look" in sent:
        return _form(request, made, looked=True)
    wrong = made.problems | problems(made.changes, texts)
    if wrong:
        return _form(request, made._replace(problems=wrong), HTTPStatus.BAD_REQUEST)
    if not made.changes:
        messages.info(request, "Nothing was changed.")
        return redirect("config")
    try:
        outcome = service.change(made.changes, source="page", expected=read, **author(request))
    except BadOption as error:
        return _form(request, made._replace(problems={"form": str(error)}), HTTPStatus.BAD_REQUEST)
    except Conflict as error:
        return _form(request, made, HTTPStatus.CONFLICT, conflict=str(error))
    tell(request, outcome)
    return redirect("config")


def _form(
    request: HttpRequest,
    made: Edits,
    status: HTTPStatus = HTTPStatus.OK,
    conflict: str = "",
    looked: bool = False,
) -> HttpResponse:
    newest = history.newest()
    now = snapshot(newest.number, newest.stamp, newest.values)
    shown = rows(now, timezone.now())
    windows = {key: text for key, text in made.changes.items() if "@" in key and text is not None}
    context = {
        **PLACE,
        "tab": "options",
        "newest": newest,
        "version": now.version,
        "state": current.state(),
        "fleet": fleet(now),
        "groups": fields(shown, made.changes, made.problems, _last_changes()),
        "unset": {key for key, text in made.changes.items() if text is None},
        "strays": strays(now),
        "names": list(CATALOGUE),
        "window": {name.removeprefix("window-"): request.POST.get(name, "") for name in WINDOW},
        "window_problem": made.problems.get("window")
        or next((made.problems[key] for key in windows if key in made.problems), ""),
        "problem": made.problems.get("form", ""),
        "problems": len(made.problems),
        "conflict": conflict,
        "looked": looked,
        "why": request.POST.get("why", ""),
        "may_change": user_of(request).has_perm(CHANGE),
    }
    return render(request, "config/options.html", context, status=status)


def _last_changes() -> dict[str, Change]:
    """Who set what: of each entry the newest change."""
    newest = Change.objects.order_by().values("entry").annotate(newest=Max("pk")).values("newest")
    return {one.entry: one for one in Change.objects.filter(pk__in=newest).select_related("version")}


def fleet(newest: Snapshot) -> Fleet:
    try:
        return Fleet(applied(current.shelf().reports(), newest.version, newest.stamp))
    except CouldNotAsk:
        return Fleet(None)


def user_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the door lets nobody else in"
    return request.user


def author(request: HttpRequest) -> dict[str, Any]:
    """Who changes something, and why, as the service wants to know it."""
    user, why = user_of(request), request.POST.get("why", "").strip()
    return {"by": user.email or user.get_username(), "user": user, "why": why}


def version_in(text: str) -> int:
    """A version; 0 is before the first one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0


def tell(request: HttpRequest, outcome: service.Outcome) -> None:
    """What was changed, and how far it has come."""
    if not outcome.changed:
        messages.info(request, "Nothing was changed.")
        return
    changed = [f"{key} {_side(old)} → {_side(new)}" for key, (old, new) in outcome.changed.items()]
    everywhere, how_far = _spread(outcome)
    level = messages.SUCCESS if everywhere else messages.WARNING
    messages.add_message(request, level, f"Version {outcome.version}: {_listed(changed)}; {how_far}.")


def _side(text: str | None) -> str:
    return "default" if text is None else visible(cut(text)) or "(empty)"


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _spread(outcome: service.Outcome) -> tuple[bool, str]:
    """Whether all processes have it, in words too."""
    if not outcome.distributed:
        return False, "recorded, but Redis does not answer: the processes get it when it does"
    try:
        *_, last = service.applied(outcome.version, outcome.stamp, WAIT_SECONDS, outcome.told_at)
    except CouldNotAsk:
        return False, "Redis does not answer, so nobody knows which process has it"
    if not last.processes:
        return True, "no process has told yet that it has it"
    done = f"applied by {last.applied} of {last.processes} processes in {last.elapsed * 1000:.0f} ms"
    return not last.waiting, f"{done}; waiting for {_listed(last.waiting)}" if last.waiting else done


PAGE = Page(
    title="Configuration",
    about="Change options while the site runs.",
    urls=[path("config/", options, name="config")],
    permissions=(VIEW, CHANGE),
    is_open_under_maintenance=True,
)

"""Page with the checks of the doctor, which operators run by a button."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.doctor import background
from tecken.doctor.background import PAUSE_SECONDS, Run
from tecken.doctor.report import TITLES
from tecken.web.auth import SitePage, need, page
from tecken.web.pages import health
from tecken.web.pages.config import CHANGE, VIEW, user_of

BUSY = f"A run is in progress, or ended less than {PAUSE_SECONDS} seconds ago. Its results are below."
WORDS = {"ok": "works", "warning": "look at this", "failed": "failed", "skipped": "not checked"}
SUMMARIES = {
    "ok": "All checks have passed",
    "warning": "Works, with something to look at",
    "failed": "Something does not work",
}


class ShownCheck(NamedTuple):
    """Check in the list. `tone` is its colour; `word` is empty while it runs."""

    title: str
    tone: str
    word: str
    text: str
    next: str


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_doctor(request: HttpRequest) -> HttpResponse:
    """Show the last run, or start one."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        if not background.start(user_of(request).get_username()):
            messages.info(request, BUSY)
        return redirect("doctor")
    run = background.last_run()
    context = {
        "may_run": user_of(request).has_perm(CHANGE),
        "run": run,
        "url": background.find_url(),
        **(_describe(run) if run else {}),
    }
    return render(request, "health/doctor.html", context)


def _describe(run: Run) -> dict[str, Any]:
    checks = [_show(check) for check in run.document["checks"]]
    if run.is_running:
        checks += [ShownCheck(TITLES[name], "", "", "", "") for name in run.pending]
    # Failures first, then warnings: `sorted` keeps the order of the others.
    order = {"bad": 0, "late": 1}
    return {
        "checks": sorted(checks, key=lambda check: order.get(check.tone, 2)),
        "summary": SUMMARIES[run.document["status"]],
        "is_incomplete": not run.is_over and not run.is_running,
    }


def _show(check: dict[str, Any]) -> ShownCheck:
    tones = {"ok": "good", "warning": "late", "failed": "bad"}
    level = check["result"]
    # Backquotes are for the terminal.
    text, step = (check[key].replace("`", "") for key in ("text", "next"))
    return ShownCheck(check["title"], tones.get(level, ""), WORDS[level], text, step)


PAGE = SitePage(
    title="Doctor", part_of=health.PAGE, urls=[path("health/doctor/", show_doctor, name="doctor")]
)

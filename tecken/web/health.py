"""What /health says, for people: in words and drawn. Operators see servers, workers and processes besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tecken.health import status
from tecken.health.status import Document, Sight
from tecken.modes import Mode
from tecken.runtimeconfig import current
from tecken.runtimeconfig.shown import applied
from tecken.servers.facts import Facts
from tecken.servers.judge import CACHE, STORE
from tecken.web.door import open_page
from tecken.web.menu import OPERATE
from tecken.web.queues import HOURS, drawn, hours_in
from tecken.web.templatetags.site import count, seconds

HEADLINES: Mapping[str, str] = {
    "healthy": "All is well",
    "degraded": "Something is missing",
    "unhealthy": "Most of it is missing",
}
STATES: Mapping[Mode, str] = {
    "stale-config": "changes of the configuration are not heard of; the last values hold",
    "store-away": "pages are read from their files: right as ever, and slower",
    "local-limits": "each process gives its own share of a limit",
    "queue-down": "modules that nobody has asked for before cannot be converted",
    "maintenance": "the site is shut, but for health and staff",
}
DOES = {
    "redis": "The queue, sessions, limits, the runtime configuration",
    "store": "Pages of symbols",
    "database": "Users, tokens, uploads, what was missing",
    "storage": "Symbol files and their page files",
}
WITHOUT = {
    "redis": "Without it nothing is queued or counted, and nobody logs in. What is known is still served.",
    "queue": "Without it nothing new is converted. What is known is still served.",
    "store": "Without it pages are read from their files: right as ever, and slower.",
    "database": "Without it nobody logs in or uploads. Symbolication and downloads go on.",
    "storage": "Without it only what is in memory or in the store is served.",
}
TITLES = {
    "redis": "redis-cache",
    "queue": "Queue",
    "store": "redis-store",
    "database": "Database",
    "storage": "Storage",
}


class Part(NamedTuple):
    """`detail` of a part that is well is what it does, of one that is not what that means."""

    title: str
    well: bool
    word: str
    detail: str


class Server(NamedTuple):
    """`facts` is None where it does not answer. `share` of its memory is in percent."""

    name: str
    why: str
    facts: Facts | None

    @property
    def version(self) -> str:
        return ".".join(map(str, self.facts.version)) if self.facts else ""


@open_page
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """`?hours=` of the picture."""
    document, _code = status.health()
    hours = hours_in(request.GET.get("hours", ""))
    context = {
        "section": "health",
        "status": document["status"],
        "headline": HEADLINES[document["status"]],
        "document": document,
        "states": [(state, STATES[state]) for state in document["state"] if state in STATES],
        "parts": list(_parts(document)),
        "pictures": None if document["redis"]["status"] != "connected" else drawn(hours),
        "hours": hours,
        "choices": HOURS,
    }
    return render(request, "health/page.html", context | _for_operators(request))


def _for_operators(request: HttpRequest) -> dict[str, Any]:
    if not any(map(request.user.has_perm, OPERATE)):
        return {}
    seen, state = status.sight(), current.state()
    return {
        "operator": True,
        "servers": [_server(seen, name) for name in (CACHE, STORE)],
        "warnings": [problem.text for problem in seen.problems if problem.level == "warning"],
        "workers": seen.backlog.workers if seen.backlog else None,
        "processes": applied(seen.answers["processes"].value or [], state.version, state.stamp),
        "state": state,
    }


def _server(seen: Sight, name: str) -> Server:
    server = seen.server(name)
    return Server(name, seen.why_not(name), server.facts if server else None)


def _parts(document: Document) -> Iterator[Part]:
    for name, title in TITLES.items():
        told = document[name]
        why = told.get("why", "")
        well = told["status"] == "connected"
        doing = _queue(told) if name == "queue" and well else DOES.get(name, "")
        yield Part(title, well, "answers" if well else f"away ({why})", doing if well else WITHOUT[name])
    yield _workers(document["worker"])
    yield _configuration(document["config"])


def _queue(told: Document) -> str:
    dead = f", {count(told['dead'])} given up" if told["dead"] else ""
    oldest = told["oldest_seconds"]
    waits = f", the next one for {seconds(oldest)}" if oldest is not None else ""
    return f"{count(told['queue_depth'])} job{'s' * (told['queue_depth'] != 1)} to be done{waits}{dead}"


def _workers(told: Document) -> Part:
    if told["status"] == "unknown":
        return Part("Workers", False, "not known", "The queue, which they report to, is away.")
    number = f"{told['workers']} there"
    if told["unserved"]:
        queues = ", ".join(told["unserved"])
        return Part("Workers", False, number, f"Nobody takes jobs of {queues}: they wait.")
    return Part("Workers", True, number, f"heard {seconds(told['heard_seconds'])} ago")


def _configuration(told: Document) -> Part:
    wrong = [
        *([f"not heard of for {seconds(told['age_seconds'])}: values may be old"] if told["stale"] else []),
        *([f"{told['bad']} cannot be used: their defaults hold"] if told["bad"] else []),
    ]
    fleet = told.get("processes")
    spread = f"in force in {fleet['applied']} of {fleet['total']} processes" if fleet else ""
    return Part("Configuration", not wrong, f"version {told['version']}", "; ".join(wrong) or spread)

"""What /health says, for people: in words and drawn. Operators see servers, workers and processes besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from tecken.health import status
from tecken.health.status import Document, Sight
from tecken.modes import Mode
from tecken.runtimeconfig import current
from tecken.runtimeconfig.shown import applied
from tecken.servers.facts import Facts
from tecken.servers.judge import CACHE, STORE
from tecken.web.auth import open_page
from tecken.web.charts.queue import HOURS, load_charts, parse_hours
from tecken.web.formatting import count, seconds, size
from tecken.web.registration import OPERATE, Page

HEADLINES: Mapping[str, str] = {
    "healthy": "All is well",
    "degraded": "Something needs attention",
    "unhealthy": "Does not work as it should",
}
STATES: Mapping[Mode, str] = {
    "stale-config": "changes of the configuration are not heard of; the last values hold",
    "store-away": "pages are read from their files: right as ever, and slower",
    "local-limits": "each process gives its own share of a limit",
    "queue-down": "modules that nobody has asked for before cannot be converted",
    "jobs-stalled": "uploads wait for their conversion, charts and cleaning for their time",
    "disk-full": "uploads are refused; symbolication and downloads continue",
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
WITHOUT_SPACE = (
    "Uploads are refused until there is room. keep_regular_days and keep_try_days say what is deleted."
)
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
    hours = parse_hours(request.GET.get("hours", ""))
    context = {
        "section": "health",
        "status": document["status"],
        "headline": headline(document),
        "document": document,
        "states": [(state, STATES[state]) for state in document["state"] if state in STATES],
        "parts": list(_parts(document)),
        "charts": None if document["redis"]["status"] != "connected" else load_charts(hours),
        "hours": hours,
        "choices": HOURS,
    }
    return render(request, "health/page.html", context | _for_operators(request))


def headline(document: Document) -> str:
    """Return one line about the whole site that claims no more than is true."""
    if document["status"] != "healthy":
        return HEADLINES[document["status"]]
    if document["maintenance"]:
        return "Under maintenance"
    return "Uploads are closed" if current.uploads_closed() else HEADLINES["healthy"]


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
        word = "answers" if well else "full" if told["status"] == "full" else f"away ({why})"
        detail = doing if well else WITHOUT_SPACE if told["status"] == "full" else WITHOUT[name]
        yield Part(title, well, word, detail)
    yield _disk(document["disk"])
    yield _workers(document["worker"])
    yield _beat(document["beat"])
    yield _configuration(document["config"])


def _queue(told: Document) -> str:
    dead = f", {count(told['dead'])} given up" if told["dead"] else ""
    oldest = told["oldest_seconds"]
    waits = f", the next one for {seconds(oldest)}" if oldest is not None else ""
    return f"{count(told['queue_depth'])} job{'s' * (told['queue_depth'] != 1)} to be done{waits}{dead}"


def _disk(told: Document) -> Part:
    free = ", ".join(
        f"{size(number)} for {name.replace('_', ' ')}" for name, number in told["free_bytes"].items()
    )
    if told["status"] == "free":
        return Part("Disk", True, "has room", f"free: {free}")
    word = "full" if told["status"] == "full" else "not known"
    detail = f"{told['why']}. {WITHOUT_SPACE}" if told["status"] == "full" else told["why"]
    return Part("Disk", False, word, detail)


def _beat(told: Document) -> Part:
    age = told["canary_age_seconds"]
    seen = f"the last test job came through {seconds(age)} ago" if age is not None else ""
    match told["status"]:
        case "stalled":
            return Part("Beat", False, "stalled", told["why"])
        case "unknown":
            return Part("Beat", False, "not known", "The queue is away.")
        case "paused":
            return Part("Beat", True, "paused", "Workers take no jobs under maintenance.")
        case "starting":
            return Part("Beat", True, "starting", seen or "no test job has come through yet")
        case _:
            return Part("Beat", True, "at work", seen)


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


PAGE = Page(
    title="Health",
    about="See the state of each part of the site.",
    urls=[path("health/", health, name="health")],
    is_open_under_maintenance=True,
)

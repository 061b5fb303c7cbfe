"""Page about the health of the site. Operators see servers, workers and processes too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from tecken.monitoring.degraded import State
from tecken.monitoring.health import status
from tecken.monitoring.health.status import Document, HealthSnapshot, take_snapshot
from tecken.monitoring.preflight.rules import CACHE, STORE, Facts
from tecken.runtimeconfig import current
from tecken.runtimeconfig.snapshot import list_late_first, list_processes
from tecken.web.auth import OPERATE, Group, SitePage, open_page
from tecken.web.charts import HOURS, load_queue, parse_hours
from tecken.web.formatting import count, seconds, size

HEADLINES: Mapping[str, str] = {
    "healthy": "All is well",
    "degraded": "Something needs attention",
    "unhealthy": "Does not work as it should",
}
STATES: Mapping[State, str] = {
    "stale-config": "changes of the configuration do not arrive; the last values stay in effect",
    "store-away": "pages are read from their files: results are the same, but slower",
    "local-limits": "each process applies its own share of a limit",
    "queue-down": "modules that were not converted before cannot be converted",
    "jobs-stalled": "uploads wait for their conversion; charts and cleanup are late",
    "disk-full": "uploads are refused; symbolication and downloads continue",
    "maintenance": "the site is closed, except for health and staff",
}
PURPOSES = {
    "redis": "The queue, sessions, limits, the runtime configuration",
    "store": "Pages of symbols",
    "database": "Users, tokens, uploads, missing modules",
    "storage": "Symbol files and their page files",
}
CONSEQUENCES = {
    "redis": "Without it nothing is queued or counted, and log-in fails. Converted modules are still served.",
    "queue": "Without it no module is converted. Converted modules are still served.",
    "store": "Without it pages are read from their files: results are the same, but slower.",
    "database": "Without it log-in and uploads fail. Symbolication and downloads work.",
    "storage": "Without it only modules in memory or in the store are served.",
}
NO_SPACE = "Uploads are refused until there is room. keep_regular_days and keep_try_days set what is deleted."
TITLES = {
    "redis": "redis-cache",
    "queue": "Queue",
    "store": "redis-store",
    "database": "Database",
    "storage": "Storage",
}


class Part(NamedTuple):
    """Part of the site. `detail` is its purpose while it works, and the consequences when it does not."""

    title: str
    well: bool
    word: str
    detail: str


class Server(NamedTuple):
    """Redis server. `facts` is None when it does not respond."""

    name: str
    why: str
    facts: Facts | None

    @property
    def version(self) -> str:
        """Version such as `7.2.4`; empty when it is unknown."""
        return ".".join(map(str, self.facts.version)) if self.facts else ""


@open_page
@require_safe
def show_health(request: HttpRequest) -> HttpResponse:
    """Show the page, with `?hours=` of the chart."""
    document, _code = status.health()
    hours = parse_hours(request.GET.get("hours", ""))
    context = {
        "status": document["status"],
        "headline": headline(document),
        "document": document,
        "states": [(state, STATES[state]) for state in document["state"] if state in STATES],
        "parts": list(_parts(document)),
        # While redis-cache is down, loading the charts would cost another timeout.
        "charts": None if document["redis"]["status"] != "connected" else load_queue(hours),
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
    snapshot, state = take_snapshot(), current.state()
    processes = list_processes(snapshot.results["processes"].value or [], state.version, state.stamp)
    return {
        "operator": True,
        "servers": [_server(snapshot, name) for name in (CACHE, STORE)],
        "warnings": [problem.text for problem in snapshot.problems if problem.level == "warning"],
        "workers": snapshot.backlog.workers if snapshot.backlog else None,
        "processes": processes,
        "listed": list_late_first(processes),
        "state": state,
    }


def _server(snapshot: HealthSnapshot, name: str) -> Server:
    server = snapshot.server(name)
    return Server(name, snapshot.why_not(name), server.facts if server else None)


def _parts(document: Document) -> Iterator[Part]:
    for name, title in TITLES.items():
        part = document[name]
        match part["status"]:
            case "connected":
                detail = _queue(part) if name == "queue" else PURPOSES[name]
                yield Part(title, True, "works", detail)
            case "full":
                yield Part(title, False, "full", NO_SPACE)
            case _:
                yield Part(title, False, f"unavailable ({part['why']})", CONSEQUENCES[name])
    yield _disk(document["disk"])
    yield _workers(document["worker"])
    yield _beat(document["beat"])
    yield _configuration(document["config"])


def _queue(queue: Document) -> str:
    dead = f", {count(queue['dead'])} failed" if queue["dead"] else ""
    oldest = queue["oldest_seconds"]
    waits = f", the oldest waits for {seconds(oldest)}" if oldest is not None else ""
    return f"{count(queue['queue_depth'])} unfinished job{'s' * (queue['queue_depth'] != 1)}{waits}{dead}"


def _disk(disk: Document) -> Part:
    free = ", ".join(
        f"{size(number)} for {name.replace('_', ' ')}" for name, number in disk["free_bytes"].items()
    )
    if disk["status"] == "free":
        return Part("Disk", True, "has room", f"free: {free}")
    word = "full" if disk["status"] == "full" else "unknown"
    detail = f"{disk['why']}. {NO_SPACE}" if disk["status"] == "full" else disk["why"]
    return Part("Disk", False, word, detail)


def _beat(beat: Document) -> Part:
    age = beat["canary_age_seconds"]
    last = f"the last test job came through {seconds(age)} ago" if age is not None else ""
    match beat["status"]:
        case "stalled":
            return Part("Beat", False, "stalled", beat["why"])
        case "unknown":
            return Part("Beat", False, "unknown", "The queue is unavailable.")
        case "paused":
            return Part("Beat", True, "paused", "Workers take no jobs under maintenance.")
        case "starting":
            return Part("Beat", True, "starting", last or "no test job has come through yet")
        case _:
            return Part("Beat", True, "works", last)


def _workers(workers: Document) -> Part:
    if workers["status"] == "unknown":
        return Part("Workers", False, "unknown", "The queue, to which they report, is unavailable.")
    number = f"{workers['workers']} running"
    if workers["unserved"]:
        queues = ", ".join(workers["unserved"])
        return Part("Workers", False, number, f"No worker takes jobs of {queues}.")
    return Part("Workers", True, number, f"last report {seconds(workers['heard_seconds'])} ago")


def _configuration(config: Document) -> Part:
    problems = []
    if config["stale"]:
        problems.append(f"not refreshed for {seconds(config['age_seconds'])}: values may be old")
    if config["bad"]:
        problems.append(f"{config['bad']} invalid values: defaults are in effect")
    fleet = config.get("processes")
    spread = f"applied in {fleet['applied']} of {fleet['total']} processes" if fleet else ""
    return Part("Configuration", not problems, f"version {config['version']}", "; ".join(problems) or spread)


PAGE = SitePage(
    title="Health",
    about="See the state of each part of the site.",
    group=Group.OPERATION,
    urls=[path("health/", show_health, name="health")],
    is_open_under_maintenance=True,
)

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
NEXT = {
    "redis": "Start redis-cache, or free its memory or disk; manage.py check_redis names the cause.",
    "queue": "Start redis-cache, or free its memory or disk; manage.py check_redis names the cause.",
    "store": "Start redis-store; manage.py check_redis names the cause.",
    "database": "Start the database, or correct DATABASE_URL; then look into its log.",
    "storage": "Look into the log of the web server, then check STORAGE_URL, its credentials and rights.",
}
START_WORKER = "Start a worker: celery -A tecken worker"
BUSY = "Look at the page Jobs for what workers do; start more workers, or restart one that is stuck."
START_BEAT = "Start one beat for the site: celery -A tecken beat"
STALL_STEPS = {"no beat": START_BEAT, "no worker": START_WORKER}
WAITS = "Solve the problem of redis-cache first."
CONSEQUENCES = {
    "redis": "Without it nothing is queued or counted, and log-in fails. Converted modules are still served.",
    "queue": "Without it no module is converted. Converted modules are still served.",
    "store": "Without it pages are read from their files: results are the same, but slower.",
    "database": "Without it log-in and uploads fail. Symbolication and downloads work.",
    "storage": "Without it only modules in memory or in the store are served.",
}
NO_SPACE = "Uploads are refused until there is room."
MAKE_ROOM = "Enlarge the disk, or keep less: lower the options keep_regular_days and keep_try_days."
TITLES = {
    "redis": "redis-cache",
    "queue": "Queue",
    "store": "redis-store",
    "database": "Database",
    "storage": "Storage",
}


class Part(NamedTuple):
    """Part of the site. `detail` is its purpose while it works, and the consequences when it does not.

    `next` is what an operator has to do.
    """

    title: str
    well: bool
    word: str
    detail: str
    next: str = ""


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
        "notices": list(notices(document)),
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


def notices(document: Document) -> Iterator[str]:
    """Yield which maintenance is in progress, beside the headline."""
    if document["maintenance"]:
        yield "Under maintenance: visitors see a notice, and workers take no jobs."
    elif current.uploads_closed():
        yield "Uploads are closed: they get a notice, and everything else works."


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
                yield Part(title, False, "full", NO_SPACE, MAKE_ROOM)
            case _:
                yield Part(title, False, f"unavailable ({part['why']})", CONSEQUENCES[name], NEXT[name])
    yield from _failed_jobs(document["queue"])
    yield _disk(document["disk"])
    yield _workers(document["worker"])
    yield _beat(document["beat"])
    yield _configuration(document["config"])


def _queue(queue: Document) -> str:
    oldest = queue["oldest_seconds"]
    waits = f", the oldest waits for {seconds(oldest)}" if oldest is not None else ""
    return f"{count(queue['queue_depth'])} job{'s' * (queue['queue_depth'] != 1)} to do{waits}"


def _failed_jobs(queue: Document) -> Iterator[Part]:
    if queue.get("dead"):
        detail = "They do not run again by themselves."
        step = "Read the reasons on the page Jobs, then retry or drop them."
        yield Part("Failed jobs", False, count(queue["dead"]), detail, step)


def _disk(disk: Document) -> Part:
    free = ", ".join(
        f"{size(number)} for {name.replace('_', ' ')}" for name, number in disk["free_bytes"].items()
    )
    if disk["status"] == "free":
        return Part("Disk", True, "has room", f"free: {free}")
    word = "full" if disk["status"] == "full" else "unknown"
    if disk["status"] == "full":
        return Part("Disk", False, word, f"{disk['why']}. {NO_SPACE}", MAKE_ROOM)
    return Part("Disk", False, word, disk["why"], "Look whether the disk of this host is mounted.")


def _beat(beat: Document) -> Part:
    age = beat["canary_age_seconds"]
    last = f"the last test job came through {seconds(age)} ago" if age is not None else ""
    match beat["status"]:
        case "stalled":
            step = next((step for cause, step in STALL_STEPS.items() if cause in beat["why"]), BUSY)
            return Part("Beat", False, "jobs are stalled", beat["why"], step)
        case "unknown":
            return Part("Beat", False, "unknown", "The queue is unavailable.", WAITS)
        case "paused":
            return Part("Beat", True, "paused", "Workers take no jobs under maintenance.")
        case "starting":
            return Part("Beat", True, "starting", last or "no test job has come through yet")
        case _:
            return Part("Beat", True, "works", last)


def _workers(workers: Document) -> Part:
    if workers["status"] == "unknown":
        return Part("Workers", False, "unknown", "The queue, to which they report, is unavailable.", WAITS)
    number = f"{workers['workers']} running"
    if workers["unserved"]:
        queues = ", ".join(workers["unserved"])
        return Part("Workers", False, number, f"No worker takes jobs of {queues}.", START_WORKER)
    return Part("Workers", True, number, f"last report {seconds(workers['heard_seconds'])} ago")


def _configuration(config: Document) -> Part:
    problems = []
    if config["stale"]:
        problems.append(f"not refreshed for {seconds(config['age_seconds'])}: values may be old")
    if config["bad"]:
        problems.append(f"{config['bad']} invalid values: defaults are in effect")
    fleet = config.get("processes")
    spread = f"applied in {fleet['applied']} of {fleet['total']} processes" if fleet else ""
    step = (WAITS if config["stale"] else "Correct the values on the page Configuration.") if problems else ""
    word = f"version {config['version']}"
    return Part("Configuration", not problems, word, "; ".join(problems) or spread, step)


PAGE = SitePage(
    title="Health",
    about="See the state of each part of the site.",
    group=Group.OPERATION,
    urls=[path("health/", show_health, name="health")],
    is_open_under_maintenance=True,
)

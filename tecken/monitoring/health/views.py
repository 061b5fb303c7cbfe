"""Endpoints for monitors, load balancers, Prometheus and operators.

`read_figures` returns the values of `/metrics` that are read when they are requested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from dockerflow import checks

from tecken import metrics
from tecken.errors import Forbidden
from tecken.http.decorators import authenticate, get_only
from tecken.http.responses import render_errors
from tecken.jobs.records import Backlog
from tecken.metrics import Figure
from tecken.monitoring import degraded
from tecken.monitoring.health import status
from tecken.monitoring.health.status import HealthSnapshot, take_snapshot
from tecken.monitoring.preflight.rules import CACHE, STORE, Facts
from tecken.runtimeconfig import current

LEVELS = {
    "database": checks.ERROR,
    "redis-cache": checks.ERROR,
    "queue": checks.ERROR,
    "redis-store": checks.WARNING,
    "storage": checks.WARNING,
}
"""Levels of parts that do not work. Without the last two, some responses are slower or missing."""


def heartbeat(_request: HttpRequest) -> JsonResponse:
    """Return Dockerflow's heartbeat: 500 when a part that every request needs does not work.

    Dockerflow's own view runs all of Django's system checks and fails with a page of HTML when Redis is down.
    """
    snapshot = take_snapshot()
    levels = {name: level if snapshot.why_not(name) else 0 for name, level in LEVELS.items()}
    worst = max(levels.values())
    texts = {name.replace("-", "_"): checks.level_to_text(level) for name, level in levels.items()}
    code = 500 if worst >= checks.ERROR else 200
    return JsonResponse({"status": checks.level_to_text(worst), "checks": texts}, status=code)


def health(_request: HttpRequest) -> JsonResponse:
    """Return the document of `/health`."""
    document, code = status.health()
    return JsonResponse(document, status=code)


def live(_request: HttpRequest) -> JsonResponse:
    """Return that the process responds. Nothing is tested: a restart does not help when Redis is down."""
    return JsonResponse({"status": "alive"})


def ready(_request: HttpRequest) -> JsonResponse:
    """Return whether to send requests to this process.

    No server is tested: the other processes cannot reach a server either that this one cannot reach. The file
    exists when the site is about to end; `python -m run.web` or a hook of Kubernetes creates it.
    """
    if settings.DRAIN_FILE and Path(settings.DRAIN_FILE).exists():
        return JsonResponse({"status": "ending"}, status=503)
    return JsonResponse({"status": "ready"})


@render_errors
@get_only
def redis(request: HttpRequest) -> JsonResponse:
    """Return both servers and the queue, for users with the staff flag or a token."""
    grant = authenticate(request)
    if grant.token is None and not grant.user.is_staff:
        raise Forbidden("This needs a token, or the staff flag")
    return JsonResponse(status.redis_details())


def exposition(_request: HttpRequest) -> HttpResponse:
    """Return all metrics for Prometheus."""
    text = metrics.exposition(read_figures(), settings.PROMETHEUS_MULTIPROC_DIR)
    return HttpResponse(text, content_type=metrics.CONTENT_TYPE)


# Values of /metrics

PARTS = (CACHE, STORE, "queue", "database", "storage")


def read_figures() -> Iterator[Figure]:
    """Yield the values of this process and of shared parts. An unknown value has no sample."""
    snapshot = take_snapshot()
    states = degraded.degraded_states()
    yield Figure("tecken_up", [({"part": part}, not snapshot.why_not(part)) for part in PARTS])
    yield Figure("tecken_state", [({"state": state}, state in states) for state in degraded.STATES])
    yield from _configuration(snapshot)
    # An unknown server has no sample: zeros would look like an empty server.
    yield from _redis({name: server.facts for name in (CACHE, STORE) if (server := snapshot.server(name))})
    yield Figure(
        "tecken_disk_free_bytes", [({"directory": space.name}, space.free) for space in snapshot.spaces]
    )
    yield Figure(
        "tecken_disk_reserve_bytes", [({"directory": space.name}, space.reserve) for space in snapshot.spaces]
    )
    if snapshot.backlog:
        yield from _queue(snapshot.backlog)


def _configuration(snapshot: HealthSnapshot) -> Iterator[Figure]:
    state = current.state()
    yield Figure("tecken_config_version", [({}, state.version)])
    yield Figure("tecken_config_age_seconds", [({}, state.age)])
    yield Figure("tecken_config_stale", [({}, state.stale)])
    yield Figure("tecken_config_bad", [({}, len(state.bad))])
    closed = [({"level": "full"}, current.maintenance()), ({"level": "uploads"}, current.uploads_closed())]
    yield Figure("tecken_maintenance", [(level, bool(state)) for level, state in closed])
    reports = snapshot.results["processes"].value or []
    kinds = Counter((report.kind, str(report.version)) for report in reports)
    processes = [({"kind": kind, "version": version}, number) for (kind, version), number in kinds.items()]
    yield Figure("tecken_config_processes", processes)


def _redis(servers: dict[str, Facts]) -> Iterator[Figure]:
    names = {
        "tecken_redis_memory_bytes": "used_memory",
        "tecken_redis_maxmemory_bytes": "maxmemory",
        "tecken_redis_clients": "clients",
        "tecken_redis_maxclients": "maxclients",
        "tecken_redis_hits_total": "hits",
        "tecken_redis_misses_total": "misses",
        "tecken_redis_evicted_keys_total": "evicted",
        "tecken_redis_commands_total": "commands",
    }
    for name, field in names.items():
        yield Figure(name, [({"server": server}, getattr(facts, field)) for server, facts in servers.items()])


def _queue(backlog: Backlog) -> Iterator[Figure]:
    ready = [
        ({"queue": queue.name, "priority": str(priority)}, number)
        for queue in backlog.queues
        for priority, number in queue.by_priority.items()
    ]
    yield Figure("tecken_queue_ready", ready)
    yield Figure("tecken_queue_unacknowledged", [({}, backlog.unacknowledged)])
    yield _queue_figure("tecken_queue_oldest_seconds", {q.name: q.oldest_seconds for q in backlog.queues})
    yield _queue_figure("tecken_queue_canary_seconds", {q.name: q.canary_seconds for q in backlog.queues})
    yield _queue_figure("tecken_queue_canary_age_seconds", {q.name: q.canary_age for q in backlog.queues})
    yield Figure("tecken_queue_dead", [({}, backlog.dead)])
    yield Figure("tecken_workers", [({}, sum(worker.alive for worker in backlog.workers))])


def _queue_figure(name: str, values: dict[str, float | None]) -> Figure:
    return Figure(name, [({"queue": queue}, value) for queue, value in values.items() if value is not None])

"""Endpoints for monitors, load balancers, Prometheus and operators."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from dockerflow import checks

from tecken import metrics
from tecken.errors import Forbidden
from tecken.http.decorators import authenticate, get_only
from tecken.http.responses import render_errors
from tecken.monitoring.health import status
from tecken.monitoring.health.figures import read_figures
from tecken.monitoring.health.snapshot import take_snapshot

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

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from dockerflow import checks

from tecken import metrics
from tecken.errors import NotAllowed
from tecken.http.decorators import get_only, granted
from tecken.http.responses import answers_errors
from tecken.monitoring.health import drain, status
from tecken.monitoring.health.figures import figures

LEVELS = {
    "database": checks.ERROR,
    "redis-cache": checks.ERROR,
    "queue": checks.ERROR,
    "redis-store": checks.WARNING,
    "storage": checks.WARNING,
}
"""How bad it is when the part is away; without the last two, some answers are slower or missing."""


def heartbeat(_request: HttpRequest) -> JsonResponse:
    """As Dockerflow has it: 500 when a part is down that no request can do without.

    Dockerflow's own view runs all of Django's system checks and fails with a page of HTML when Redis is down.
    """
    seen = status.sight()
    levels = {name: level if seen.why_not(name) else 0 for name, level in LEVELS.items()}
    worst = max(levels.values())
    told = {name.replace("-", "_"): checks.level_to_text(level) for name, level in levels.items()}
    code = 500 if worst >= checks.ERROR else 200
    return JsonResponse({"status": checks.level_to_text(worst), "checks": told}, status=code)


def health(_request: HttpRequest) -> JsonResponse:
    document, code = status.health()
    return JsonResponse(document, status=code)


def live(_request: HttpRequest) -> JsonResponse:
    """Asks nobody: a process that lives is not mended by starting it again because Redis is away."""
    return JsonResponse({"status": "alive"})


def ready(_request: HttpRequest) -> JsonResponse:
    """Asks nobody either: what one process cannot reach, the others cannot."""
    if drain.is_draining():
        return JsonResponse({"status": "ending"}, status=503)
    return JsonResponse({"status": "ready"})


@answers_errors
@get_only
def redis(request: HttpRequest) -> JsonResponse:
    """For users with the staff flag, and for whoever has a token."""
    grant = granted(request)
    if grant.token is None and not grant.user.is_staff:
        raise NotAllowed("This needs a token, or the staff flag")
    return JsonResponse(status.redis_details())


def exposition(_request: HttpRequest) -> HttpResponse:
    """For Prometheus."""
    text = metrics.exposition(figures(), settings.PROMETHEUS_MULTIPROC_DIR)
    return HttpResponse(text, content_type=metrics.CONTENT_TYPE)

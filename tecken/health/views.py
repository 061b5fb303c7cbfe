from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from dockerflow import checks

from tecken import metrics
from tecken.health import status
from tecken.health.checks import CHECKS


def heartbeat(_request: HttpRequest) -> JsonResponse:
    """Asks every back end, each with its own deadline; 500 when one is down that no request can do without.

    Dockerflow's own view runs all of Django's system checks and fails with a page of HTML when Redis is down.
    """
    results = checks.run_checks([(check.__name__, check) for check in CHECKS])
    code = 500 if results.level >= checks.ERROR else 200
    return JsonResponse(
        {"status": checks.level_to_text(results.level), "checks": results.statuses}, status=code
    )


def health(_request: HttpRequest) -> JsonResponse:
    document, code = status.health()
    return JsonResponse(document, status=code)


def exposition(_request: HttpRequest) -> HttpResponse:
    """For Prometheus."""
    text = metrics.exposition(status.figures(), settings.PROMETHEUS_MULTIPROC_DIR)
    return HttpResponse(text, content_type=metrics.CONTENT_TYPE)

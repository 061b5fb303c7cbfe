"""Page of the store: its use of memory, its hit ratio, and the memory that a higher ratio would need."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.jobs import sending
from tecken.monitoring.health.measurements import (
    ENOUGH,
    EVERY_SECONDS,
    Sample,
    Sizing,
    compute_rates,
    load_samples,
    load_sizing,
)
from tecken.monitoring.health.panels import ServerPanel, load_panels
from tecken.monitoring.health.status import take_snapshot
from tecken.monitoring.preflight.rules import STORE
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.access_counts import ModuleHits, PageRequests, busiest, busiest_pages
from tecken.web.auth import OPERATE, SitePage, need, page
from tecken.web.charts.drawing import MARKS, Timeline, draw_timeline
from tecken.web.charts.store import draw_curve, draw_modules, size_bars, sizing_rows
from tecken.web.formatting import percent, size
from tecken.web.pages.config import CHANGE, VIEW, user_of

MAX_MODULES, MAX_PAGES, LISTED_PAGES = 40, 100, 20
DEFAULT_HOURS = 24
SIZING_TASK = "tecken.health.tasks.size_store"
SIZING_EXPIRES_SECONDS = 60


class StoreMeasurements(NamedTuple):
    """Measurements of the store, which redis-cache holds."""

    samples: Sequence[Sample]
    sizing: Sizing | None
    modules: Sequence[ModuleHits]
    pages: Sequence[PageRequests]


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_store(request: HttpRequest) -> HttpResponse:
    """Show the store, or have a worker compute its sizing again. `?hours=` is the period of the charts."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        sending.send(SIZING_TASK, [], SIZING_EXPIRES_SECONDS)
        messages.success(request, "A worker computes the sizes again. Reload in a few seconds.")
        return redirect("store")
    hours = _parse_hours(request.GET.get("hours", ""))
    context = {"hours": hours, "choices": list(MARKS), **_load_context(hours)}
    return render(request, "store/page.html", {**context, "may_change": user_of(request).has_perm(CHANGE)})


def _parse_hours(text: str) -> int:
    return int(text) if text in map(str, MARKS) else DEFAULT_HOURS


def _load_context(hours: int) -> dict[str, Any]:
    servers, measured = load_panels(), _load_measurements(hours)
    maxmemory = _maxmemory(servers, measured.samples if measured else ())
    has_charts = measured and not settings.DEMO_MODE
    return {
        "servers": servers,
        "store": next(server for server in servers if server.server == STORE),
        "problems": [problem for problem in take_snapshot().problems if problem.server == STORE],
        "maxmemory": maxmemory,
        "has_measurements": measured is not None,
        "charts": _charts(measured.samples, hours, maxmemory) if measured and has_charts else (),
        "pages": measured.pages[:LISTED_PAGES] if measured else (),
        "modules": draw_modules(measured.modules, measured.pages) if measured else (),
        **_sizing_context(measured.sizing if measured else None, maxmemory),
    }


def _load_measurements(hours: int) -> StoreMeasurements | None:
    """Return the measurements, or None if redis-cache does not respond."""
    counters, cache, now = redis_services.counters_client(), redis_services.cache_client(), time.time()
    try:
        return StoreMeasurements(
            load_samples(counters, int(hours * 3600 / EVERY_SECONDS) + 1),
            load_sizing(counters),
            busiest(cache, MAX_MODULES, now),
            busiest_pages(cache, MAX_PAGES, now),
        )
    except redis.RedisError:
        return None


def _maxmemory(servers: Sequence[ServerPanel], taken: Sequence[Sample]) -> int | None:
    """Return the memory limit of redis-store in bytes, or None if there is none or it is not known.

    While the server does not respond, the newest sample has its last known limit.
    """
    if settings.DEMO_MODE:
        return store_services.DEMO_STORE_BYTES
    present = [server.panel.memory.maximum for server in servers if server.server == STORE and server.panel]
    sampled = [sample.store.maxmemory for sample in reversed(taken) if sample.store]
    return next(iter([*present, *sampled]), 0) or None


def _charts(taken: Sequence[Sample], hours: int, maxmemory: int | None) -> dict[str, Timeline]:
    now, changes = time.time(), list(compute_rates(taken))
    used = [(sample.at, float(sample.store.used) if sample.store else None) for sample in taken]
    hits = [(rate.at, rate.hit_ratio) for rate in changes]
    evictions = [(rate.at, rate.evictions) for rate in changes]
    return {
        "hits": draw_timeline(hits, hours, now, _format_percent, most=1),
        "memory": draw_timeline(used, hours, now, size, limit=maxmemory),
        "evictions": draw_timeline(evictions, hours, now, _format_rate),
    }


def _format_percent(share: float) -> str:
    return percent(share).replace(".0 ", " ")


def _format_rate(number: float) -> str:
    return f"{number:.3g}/s"


def _sizing_context(sizing: Sizing | None, maxmemory: int | None) -> dict[str, Any]:
    if sizing is None:
        return {"sizing": None}
    return {
        "sizing": sizing,
        "enough": ENOUGH,
        "counted": datetime.fromtimestamp(sizing.at, UTC),
        "curve": draw_curve(sizing, maxmemory) if sizing.enough else None,
        "rows": sizing_rows(sizing),
        "present_ratio": sizing.curve.hit_ratio(maxmemory) if maxmemory else None,
        "bars": size_bars(sizing.entries),
    }


PAGE = SitePage(
    title="Store",
    about="See memory and hit ratio, and how much memory is enough.",
    urls=[path("store/", show_store, name="store")],
    permissions=OPERATE,
)

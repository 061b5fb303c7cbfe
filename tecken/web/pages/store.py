"""The symbol store, for whoever has to know whether it is large enough."""

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
from django.views.decorators.http import require_http_methods

from tecken.jobs import sending
from tecken.monitoring.health.panels import ServerPanel, load_panels
from tecken.monitoring.health.series import EVERY_SECONDS, Sample, compute_rates, load_samples
from tecken.monitoring.health.sizing import ENOUGH, Sizing, load_sizing
from tecken.monitoring.health.snapshot import take_snapshot
from tecken.monitoring.preflight.rules import STORE
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.hit_counts import ModuleHits, PageRequests, busiest, busiest_pages
from tecken.web.auth import need, page
from tecken.web.charts.hot_modules import bars, hottest
from tecken.web.charts.miss_ratio import picture, rows
from tecken.web.charts.timeline import MARKS, Timeline, timeline
from tecken.web.pages.config import CHANGE, VIEW, user_of
from tecken.web.templatetags.site import percent, size

MODULES, PAGES, LISTED = 40, 100, 20
DAY = 24
COUNT_TASK = "tecken.health.tasks.size_store"
COUNT_EXPIRES_SECONDS = 60


class Kept(NamedTuple):
    """What redis-cache has of the store."""

    samples: Sequence[Sample]
    sizing: Sizing | None
    modules: Sequence[ModuleHits]
    pages: Sequence[PageRequests]


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def store(request: HttpRequest) -> HttpResponse:
    """`?hours=` of the pictures. When it is sent, a worker counts anew how large the store must be."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        sending.send(COUNT_TASK, [], COUNT_EXPIRES_SECONDS)
        messages.success(request, "A worker counts anew. Reload in a few seconds.")
        return redirect("store")
    hours = _hours(request.GET.get("hours", ""))
    context = {"section": "store", "hours": hours, "choices": list(MARKS), **_shown(hours)}
    return render(request, "store/page.html", {**context, "may_change": user_of(request).has_perm(CHANGE)})


def _hours(text: str) -> int:
    return int(text) if text in map(str, MARKS) else DAY


def _shown(hours: int) -> dict[str, Any]:
    servers, found = load_panels(), _kept(hours)
    maxmemory = _maxmemory(servers, found.samples if found else ())
    return {
        "servers": servers,
        "store": next(one for one in servers if one.server == STORE),
        "problems": [problem for problem in take_snapshot().problems if problem.server == STORE],
        "maxmemory": maxmemory,
        "kept": found is not None,
        "pictures": _pictures(found.samples, hours, maxmemory) if found and not settings.DEMO_MODE else (),
        "pages": found.pages[:LISTED] if found else (),
        "hottest": hottest(found.modules, found.pages) if found else (),
        **_sizing(found.sizing if found else None, maxmemory),
    }


def _kept(hours: int) -> Kept | None:
    """None when redis-cache does not answer."""
    counters, cache, now = redis_services.counters_client(), redis_services.cache_client(), time.time()
    try:
        return Kept(
            load_samples(counters, int(hours * 3600 / EVERY_SECONDS) + 1),
            load_sizing(counters),
            busiest(cache, MODULES, now),
            busiest_pages(cache, PAGES, now),
        )
    except redis.RedisError:
        return None


def _maxmemory(servers: Sequence[ServerPanel], taken: Sequence[Sample]) -> int | None:
    """As it is, or was when the store was last heard of. None: no limit, or nobody knows."""
    if settings.DEMO_MODE:
        return store_services.DEMO_STORE_BYTES
    now = [one.panel.memory.maximum for one in servers if one.server == STORE and one.panel]
    before = [one.store.maxmemory for one in reversed(taken) if one.store]
    return next(iter([*now, *before]), 0) or None


def _pictures(taken: Sequence[Sample], hours: int, maxmemory: int | None) -> dict[str, Timeline]:
    now, changes = time.time(), list(compute_rates(taken))
    used = [(one.at, float(one.store.used) if one.store else None) for one in taken]
    return {
        "hits": timeline([(one.at, one.hit_ratio) for one in changes], hours, now, _percent, most=1),
        "memory": timeline(used, hours, now, size, limit=maxmemory),
        "evictions": timeline([(one.at, one.evictions) for one in changes], hours, now, _per_second),
    }


def _percent(share: float) -> str:
    return percent(share).replace(".0 ", " ")


def _per_second(number: float) -> str:
    return f"{number:.3g}/s"


def _sizing(told: Sizing | None, maxmemory: int | None) -> dict[str, Any]:
    if told is None:
        return {"sizing": None}
    return {
        "sizing": told,
        "enough": ENOUGH,
        "counted": datetime.fromtimestamp(told.at, UTC),
        "curve": picture(told, maxmemory) if told.enough else None,
        "rows": rows(told),
        "now_ratio": told.curve.hit_ratio(maxmemory) if maxmemory else None,
        "bars": bars(told.entries),
    }

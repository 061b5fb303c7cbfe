"""What `/health` tells, and the figures of `/metrics` that are looked up when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import redis
from django.conf import settings
from dockerflow.version import get_version

from tecken import redisclient, wiring
from tecken.errors import CouldNotAsk
from tecken.health.checks import redis_cache
from tecken.metrics import Figure
from tecken.runtimeconfig import current
from tecken.runtimeconfig.shelf import Report

QUEUE = "celery"
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # a list each, as kombu names them
BEING_DONE = "unacked"


def health() -> tuple[dict[str, Any], int]:
    """The document and its status: 503 in production when redis-cache is down."""
    cache, queue, config = _redis(), _queue(), _config()
    well = cache["status"] == queue["status"] == "connected"
    document = {
        "status": "unhealthy" if not well else "degraded" if config["stale"] or config["bad"] else "healthy",
        "version": (get_version(settings.BASE_DIR) or {}).get("version", "unknown"),
        "environment": settings.ENVIRONMENT,
        "maintenance": current.is_under_maintenance(),
        "redis": cache,
        "queue": queue,
        "config": config,
    }
    return document, 200 if well or settings.ENVIRONMENT != "production" else 503


def _redis() -> dict[str, Any]:
    return {"status": "disconnected" if redis_cache() else "connected", "backend": "redis"}


@wiring.once
def queue_client() -> redis.Redis:
    return redisclient.client(
        settings.REDIS_QUEUE_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )


def _queue() -> dict[str, Any]:
    """Its depth: jobs that wait, those that are being done, and those that wait for their time."""
    asked = queue_client().pipeline(transaction=False)
    for priority in PRIORITIES:
        asked.llen(QUEUE + priority)
    asked.hlen(BEING_DONE)
    try:
        depth = sum(asked.execute())
    except redis.RedisError:
        return {"status": "disconnected", "backend": "redis", "queue_depth": None}
    return {"status": "connected", "backend": "redis", "queue_depth": depth}


def _config() -> dict[str, Any]:
    """Of the process that answers; `processes` are all that have reported, left out when nobody can tell."""
    state, reports = current.state(), _reports()
    applied = sum((one.version, one.stamp) == (state.version, state.stamp) for one in reports)
    processes = {"processes": {"applied": applied, "total": len(reports)}} if reports else {}
    return {
        "version": state.version,
        "age_seconds": round(state.age, 3),
        "stale": state.stale,
        "watcher": state.watcher,
        "bad": len(state.bad),
        **processes,
    }


def _reports() -> list[Report]:
    try:
        return current.shelf().reports()
    except CouldNotAsk:
        return []


def figures() -> Iterator[Figure]:
    """Of the configuration in the process that answers, and of all processes that report theirs."""
    state = current.state()
    yield Figure("tecken_config_version", "Version in force.", [({}, state.version)])
    yield Figure("tecken_config_age_seconds", "Since it was last heard of.", [({}, state.age)])
    yield Figure("tecken_config_stale", "1 while the last look failed.", [({}, state.stale)])
    yield Figure("tecken_config_bad", "Entries that cannot be used.", [({}, len(state.bad))])
    shut = [({"level": "full"}, current.maintenance()), ({"level": "uploads"}, current.uploads_closed())]
    yield Figure("tecken_maintenance", "1 while it is on.", [(level, bool(now)) for level, now in shut])
    kinds = Counter((one.kind, str(one.version)) for one in _reports())
    processes = [({"kind": kind, "version": version}, number) for (kind, version), number in kinds.items()]
    yield Figure("tecken_config_processes", "Processes by the version that they have in force.", processes)

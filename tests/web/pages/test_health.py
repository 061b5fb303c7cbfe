"""/health/: what it shows to everybody, and what to operators."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tecken.jobs.records import DeadLetter, records
from tecken.monitoring.health import measurements
from tecken.monitoring.health.measurements import Sample, take_sample
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig.backend import Report
from tecken.web.charts import draw_queue
from tests.monitoring.health.conftest import move, patient, redis_cache, redis_store, worker
from tests.runtimeconfig.backends import MemoryBackend
from tests.support.redis_server import RedisServer

__all__ = ["move", "patient", "redis_cache", "redis_store", "worker"]  # fixtures
pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>\u202egnp"


def shown(client: Client, url: str = "/health/") -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return reply.content.decode()


def text(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


@pytest.mark.usefixtures("worker")
def test_everybody_sees_each_part(client: Client) -> None:
    page = text(shown(client))
    assert "All is well healthy" in page
    for part in ("redis-cache works", "redis-store works", "Database works", "Storage works"):
        assert part in page
    assert "Queue works 0 jobs to do" in page
    assert "Workers 1 running" in page


@pytest.mark.usefixtures("worker")
def test_only_operators_see_servers_workers_and_processes(client: Client, backend: MemoryBackend) -> None:
    backend.report(Report("host:1", "web", 0, "", 0.5, 0))
    public = text(shown(client))
    assert not any(name in public for name in ("celery@here", "host:1", "maxmemory", "allkeys-lru"))


@pytest.mark.usefixtures("worker")
def test_operators_see_them(client: Client, viewer: User, backend: MemoryBackend) -> None:
    backend.report(Report("host:1", "web", 0, "", 0.5, 0))
    backend.report(Report(HOSTILE, "worker", 0, "other", 0.5, 2))
    page = shown(client)
    assert "celery@here running" in text(page)
    assert "host:1 web 0 500 ms ago 0" in text(page)
    assert "\\u202egnp worker 0 not yet 0" in text(page)
    assert "allkeys-lru" in text(page)
    assert HOSTILE not in page
    assert "\u202e" not in page


@pytest.mark.usefixtures("worker")
def test_health_with_dead_letters_shows_number_and_next_step(client: Client) -> None:
    records().store_letter(DeadLetter("1", "task", "upload", "OSError", died=0.0))
    page = text(shown(client))
    assert "Something needs attention degraded 1 job has failed for good: read the reasons at /jobs/" in page
    assert "Failed jobs 1 They do not run again by themselves. Next: Read the reasons" in page
    home = text(client.get("/", headers={"Accept": "text/html"}).content.decode())
    assert "Failed jobs 1, to retry or drop" in home


def test_no_worker_is_there(client: Client) -> None:
    page = text(shown(client))
    assert "Next: Start a worker: celery -A tecken worker" in page
    assert "Something needs attention degraded" in page
    assert "No worker takes jobs of convert, upload, housekeeping." in page


@pytest.mark.usefixtures("worker")
def test_the_store_is_away(client: Client, viewer: User, redis_store: RedisServer) -> None:
    redis_store.stop()
    page = text(shown(client))
    assert "redis-store unavailable" in page
    assert "Without it pages are read from their files" in page
    assert "store-away pages are read" in page
    assert "redis-store does not answer" in page


def test_redis_cache_is_away(client: Client, redis_cache: RedisServer) -> None:
    redis_cache.stop()
    page = text(shown(client))
    assert "Does not work as it should unhealthy" in page
    assert "Workers unknown" in page
    assert "Unknown: redis-cache does not answer." in page


def test_who_is_logged_in_with_redis_cache_away(
    client: Client, viewer: User, redis_cache: RedisServer
) -> None:
    redis_cache.stop()
    assert "Does not work as it should" in shown(client)


@pytest.mark.usefixtures("worker")
def test_it_asks_the_database_little(
    client: Client, viewer: User, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    with django_assert_max_num_queries(10):
        shown(client)


def test_the_queue_is_drawn(client: Client) -> None:
    redis_services.queue_client().lpush("convert", *["{}"] * 3)
    take_sample()
    assert "Jobs to do 3 " in text(shown(client))


@pytest.mark.parametrize("hours", ["", "6", "24", "7", "-1", "x", "²"])
def test_so_many_hours_are_drawn(client: Client, hours: str) -> None:
    page = shown(client, f"/health/?hours={hours}")
    assert f"over the last {hours if hours in ('6', '24') else '1'} hour" in page


def test_a_row_has_the_most_of_its_time() -> None:
    taken = [
        Sample(3600 - 10, None, None, 0, 5, 0.2),
        Sample(3600 - 200, None, None, 0, 7, None),
        Sample(3600 - 400, None, None, 0, None, None),
    ]
    first, second, *_ = draw_queue(taken, 1, 3600).rows
    assert (first.queued, first.canary) == (7, 0.2)
    assert (second.queued, second.canary) == (None, None)


def test_a_day_is_a_small_page(client: Client, viewer: User, worker: None) -> None:
    redis_services.counters_client().rpush(
        measurements.SERIES_KEY, *[_row(number) for number in range(measurements.KEPT)]
    )
    assert len(shown(client, "/health/?hours=24")) < 60_000


def _row(number: int) -> str:
    at = time.time() - (measurements.KEPT - number) * measurements.EVERY_SECONDS
    return f"[{at}, null, null, 1, {number % 1000}, {number % 7}]"

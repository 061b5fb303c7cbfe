from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, repeat
from time import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.jobs.keys import HOUSEKEEPING
from tecken.monitoring.health import measurements
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.store.access_counts import HitCounts
from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId
from tecken.tasks import size_store
from tests.support.asked import asked
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("afresh")]
XUL = ObjectId("xul.pdb", "A" * 33)


@pytest.fixture
def afresh(settings: Settings, clear_redis_store: None) -> Iterator[None]:
    settings.HEALTH_CHECK_SECONDS = 30.0
    services.discard_all()
    yield
    services.discard_all()


def shown(client: Client, query: str = "") -> str:
    reply = client.get(f"/store/{query}")
    assert reply.status_code == 200
    return reply.content.decode()


def looked_for(module: ObjectId, pages: int, found: int) -> None:
    keys = [PageKey(module, "0" * 16, number) for number in range(pages)]
    times = chain([0.0], repeat(time()))
    HitCounts(redis_services.cache_client(), RedisGuard("redis-cache"), clock=times.__next__).note(
        keys, keys[:found]
    )


def sample(ago: float, store: list[int] | None, now: float | None = None) -> None:
    """Add what beat measured `ago` seconds before `now`."""
    taken = (time() if now is None else now) - ago
    redis_services.counters_client().rpush(measurements.SERIES_KEY, json.dumps([taken, None, store, 0, 0]))


def test_store_unused_shows_text(client: Client, viewer: User) -> None:
    page = shown(client)
    assert "of 524 MB" in page
    assert "Not computed yet: a worker does so every five minutes." in page
    assert "No page was requested" in page
    assert "<strong>not known</strong>" in page


def test_store_few_accesses_has_no_sizing(client: Client, viewer: User) -> None:
    asked(redis_services.counters_client(), keys=100, times=8)
    size_store()
    page = shown(client)
    assert "Not enough accesses yet: 600 of 1,000 required." in page
    assert 'class="chart missratio"' not in page


def test_store_shows_required_memory(client: Client, viewer: User) -> None:
    asked(redis_services.counters_client(), keys=100, times=40)
    size_store()
    page = shown(client)
    assert "With the present 524 MB the hit ratio is <strong>100.0 %</strong>" in page
    assert 'class="chart missratio"' in page
    row = '<th scope="row">95.0 %</th><td>100 KB</td><td>2.0 GB</td>'
    assert row in page
    assert '<th scope="row">1 KiB</th><td>100</td>' in page
    assert "3,000 accesses, 3,000 sampled" in page


def test_store_single_accesses_have_no_curve(client: Client, viewer: User) -> None:
    asked(redis_services.counters_client(), keys=4000, times=1)
    size_store()
    page = shown(client)
    assert "no size is enough" in page
    assert 'class="chart missratio"' not in page


def test_store_charts_show_hits_memory_evictions(client: Client, viewer: User) -> None:
    now = time()  # exactly 30 seconds between the two, also on a busy machine
    sample(60, [100_000_000, 524_288_000, 3, 0, 0, 0], now)
    sample(30, [200_000_000, 524_288_000, 3, 90, 10, 60], now)
    page = shown(client, "?hours=1")
    assert "Hit ratio <strong>90 %</strong>" in page
    assert "Memory <strong>200 MB</strong>" in page
    assert "Evictions <strong>2/s</strong>" in page
    assert '<a id="hours-1" href="?hours=1" aria-current="true">1 hour</a>' in page
    assert "Hit ratio <strong>90 %</strong>" in shown(client, "?hours=1000")  # which is a day


def test_store_shows_most_requested_modules(client: Client, viewer: User) -> None:
    looked_for(XUL, 100, 99)
    assert "<title>xul.pdb, page 99: 1 request</title>" in shown(client)
    looked_for(ObjectId("<script>\u202egnp.exe", "B" * 33), 10, 0)
    page = shown(client)
    assert f'<a href="/explain/xul.pdb/{"A" * 33}/" aria-label="xul.pdb, 100 pages, 99.0 % hits">' in page
    assert "<script>\u202e" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;\\u202egnp.exe" in page


def test_store_operator_can_compute_sizing(client: Client, operator: User) -> None:
    assert "Compute now" in shown(client)
    reply = client.post("/store/")
    assert (reply.status_code, reply["Location"]) == (302, "/store/")
    queue = redis_services.queue_client()
    (job,) = [json.loads(raw) for raw in queue.lrange(HOUSEKEEPING, 0, -1)]
    assert job["headers"]["task"] == "tecken.health.tasks.size_store"


def test_store_viewer_cannot_compute_sizing(client: Client, viewer: User) -> None:
    assert "Compute now" not in shown(client)
    assert client.post("/store/").status_code == 403


def test_store_without_permission_is_forbidden(client: Client) -> None:
    assert client.get("/store/").status_code == 302
    client.force_login(User.objects.create(username="somebody"))
    assert client.get("/store/").status_code == 403


def test_store_redis_store_down_shows_rest(client: Client, viewer: User, settings: Settings) -> None:
    asked(redis_services.counters_client(), keys=100, times=40)
    size_store()
    move(settings, "store")
    page = shown(client)
    assert "redis-store does not answer (ConnectionError)" in page
    assert '<td colspan="6" class="no">does not answer (ConnectionError)</td>' in page
    assert 'class="chart missratio"' in page
    assert "as it is" not in page
    sample(30, [200_000_000, 300_000_000, 3, 90, 10, 60])
    assert "With the present 300 MB" in shown(client)


def test_store_redis_cache_down_shows_servers(client: Client, viewer: User, settings: Settings) -> None:
    """Sessions are on another database of redis-cache: who logs in needs that."""
    settings.REDIS_COUNTERS_URL = "redis://127.0.0.1:1/3"  # where nobody ever listens
    services.discard_all()
    page = shown(client)
    assert "redis-cache does not answer: measurements of the store are not available." in page
    assert "of 524 MB" in page


def test_store_has_few_queries_and_bytes(
    client: Client, viewer: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    asked(redis_services.counters_client(), keys=2000, times=2)
    size_store()
    for number in range(60):
        looked_for(ObjectId(f"module{number}.pdb", "A" * 33), 30, 20)
    taken: list[Any] = [
        [time() - 30 * n, None, [n, 100, 3, 9 * n, n, n], 0, 0] for n in range(measurements.KEPT)
    ]
    redis_services.counters_client().rpush(measurements.SERIES_KEY, *map(json.dumps, reversed(taken)))
    with django_assert_max_num_queries(10):
        page = shown(client)
    assert len(page) < 100_000


def move(settings: Settings, alias: str) -> None:
    """To where no server is."""
    away = {**settings.CACHES[alias], "LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    settings.CACHES = {**settings.CACHES, alias: away}
    services.discard_all()


def test_store_demo_has_no_servers(client: Client, viewer: User, settings: Settings) -> None:
    settings.DEMO_MODE = True
    services.discard_all()
    page = shown(client)
    assert "at most 134 MB; the least recently used keys are evicted" in page
    assert "Both servers" not in page
    assert "Evictions" not in page

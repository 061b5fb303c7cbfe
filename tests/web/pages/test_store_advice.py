"""The advice on the page of the store, its sizes, and the command that applies one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from time import time

import pytest
from django.conf import settings as settings_of_site
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.monitoring.health import measurements
from tecken.monitoring.health.measurements import Sample, ServerSample, Sizing
from tecken.monitoring.preflight.rules import parse_info
from tecken.redisclient import services as redis_services
from tecken.store.miss_ratio import Entries, MissRatioCurve
from tecken.web.store_sizes import make_sizes, measure_store
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]
MIB = 1 << 20
CURVE = MissRatioCurve((100 * MIB, 400 * MIB), (0.5, 0.97), 5000, 5000)
SIZING = Sizing(0.0, CURVE, (None, None, None), Entries(10, 400 * MIB, ((1024, 10),)))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    services.discard_all()
    yield
    services.discard_all()


def sample(at: float, *counted: int, requests: int | None = None) -> Sample:
    hits, misses, evicted = counted
    return Sample(at, None, ServerSample(0, 0, 0, hits, misses, evicted), requests, None)


def shown(client: Client) -> str:
    reply = client.get("/store/")
    assert reply.status_code == 200
    return reply.content.decode()


def advice(page: str) -> str:
    found = re.search(r'id="advice">(.*?)</p>', page)
    assert found
    return found[1]


def test_store_begins_with_advice(client: Client, viewer: User) -> None:
    page = shown(client)
    assert advice(page) == "Too early to say: a worker measures the store every five minutes."
    assert page.index('id="advice"') < page.index("<section")
    stored = SIZING._replace(at=time())
    redis_services.counters_client().set(measurements.SIZING_KEY, json.dumps(stored))
    page = shown(client)
    pattern = r"The store is well sized: 97 % of reads hit with \d+ MiB of 500 MiB; 250 MiB would give 50 %\."
    assert re.fullmatch(pattern, advice(page))
    assert 'ARGS="config set maxmemory <span data-megabytes>500</span>mb"' in page
    assert '<tr data-megabytes="500"><th scope="row">500 MiB</th><td class="number">97 %</td>' in page
    assert '<output for="memory"' in page


def test_value_that_the_page_sets_with_helm_exists(client: Client, viewer: User) -> None:
    redis_services.counters_client().set(measurements.SIZING_KEY, json.dumps(SIZING._replace(at=time())))
    assert "--set redisStore.maxmemory=<span data-megabytes>500</span>mb" in shown(client)
    values = (settings_of_site.BASE_DIR / "deploy" / "helm" / "tecken" / "values.yaml").read_text()
    of_store = values[values.index("\nredisStore:") :]
    assert re.search(r"^  maxmemory:", of_store, re.MULTILINE)


def test_store_without_redis_cache_is_too_early_to_judge(
    client: Client, viewer: User, settings: Settings
) -> None:
    settings.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    services.discard_all()
    assert advice(shown(client)).startswith("Too early to say: redis-cache does not answer")


def test_sizes_without_a_curve_have_advice_only() -> None:
    few = SIZING._replace(curve=CURVE._replace(sampled=10))
    sizes = make_sizes(few, measure_store(None, 500 * MIB, ()))
    assert sizes
    assert sizes.advice.kind == "early"
    assert not sizes.rows
    assert make_sizes(None, measure_store(None, None, ())) is None


def test_sizes_of_a_cluster_are_divided_among_its_nodes() -> None:
    facts = parse_info({"total_system_memory": 4096 * MIB, "used_memory": 5})._replace(nodes=3)
    sizes = make_sizes(SIZING, measure_store(facts, 150 * MIB, ()))
    assert sizes
    assert sizes.selected.is_advised
    assert (sizes.selected.memory, sizes.selected.megabytes) == ("400 MiB", 134)
    assert [row.megabytes for row in sizes.rows if row.is_present] == [50]


def test_rates_of_the_store_leave_out_restarts_and_gaps() -> None:
    samples = [
        sample(0, 0, 0, 0, requests=0),
        sample(30, 540, 60, 30, requests=60),
        sample(60, 5, 5, 0, requests=90),
        Sample(90, None, None, None, None),
        sample(120, 9000, 0, 0, requests=0),
    ]
    facts = measure_store(None, None, samples)
    assert (facts.reads, facts.requests, facts.evictions) == (20.0, 1.5, 1.0)


def test_reads_of_a_bucket_are_slower_than_those_of_a_directory(settings: Settings) -> None:
    settings.STORAGE_URL = "file:///tmp"
    local = measure_store(None, None, ()).read_seconds
    settings.STORAGE_URL = "s3://bucket"
    assert measure_store(None, None, ()).read_seconds > local

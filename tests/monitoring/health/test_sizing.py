from __future__ import annotations

import pytest
import redis
from django.conf import settings

from tecken.monitoring.health.measurements import (
    ENOUGH,
    SIZE_EVERY_SECONDS,
    SIZING_KEY,
    compute_sizing,
    load_sizing,
)
from tecken.redisclient import services as redis_services
from tecken.tasks import size_store
from tests.support.asked import asked


@pytest.fixture
def counters(clear_redis_store: None) -> redis.Redis:
    return redis_services.counters_client()


def test_size_store_job_stores_the_sizing(counters: redis.Redis) -> None:
    asked(counters, keys=100, times=40)
    assert load_sizing(counters) is None
    size_store()
    sizing = load_sizing(counters)
    assert sizing
    assert sizing.enough
    assert sizing._replace(at=0) == compute_sizing(counters)._replace(at=0)
    assert sizing.needs == (100_000, 100_000, 100_000)
    assert (sizing.entries.keys, sizing.entries.size) == (100, 100_000)
    assert 0 < counters.ttl(SIZING_KEY) <= 86_400


def test_sizing_of_few_accesses_is_not_enough(counters: redis.Redis) -> None:
    size_store()
    sizing = load_sizing(counters)
    assert sizing
    assert (sizing.enough, sizing.curve.accesses, sizing.needs) == (False, 0, (None, None, None))
    asked(counters, keys=ENOUGH // 2, times=1)
    assert not compute_sizing(counters).enough


def test_sizing_interval_is_that_of_the_schedule() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["size-store"]["schedule"] == SIZE_EVERY_SECONDS

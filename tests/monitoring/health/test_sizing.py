from __future__ import annotations

import pytest
import redis
from django.conf import settings

from tecken import wiring
from tecken.monitoring.health.sizing import ENOUGH, EVERY_SECONDS, KEY, compute_sizing, load_sizing
from tecken.monitoring.health.tasks import size_store
from tests.support.asked import asked


@pytest.fixture
def counters(clear_redis_store: None) -> redis.Redis:
    return wiring.counters_client()


def test_what_a_worker_counted_is_kept(counters: redis.Redis) -> None:
    asked(counters, keys=100, times=40)
    assert load_sizing(counters) is None
    size_store()
    found = load_sizing(counters)
    assert found
    assert found.enough
    assert found._replace(at=0) == compute_sizing(counters)._replace(at=0)
    assert found.needs == (100_000, 100_000, 100_000)
    assert (found.entries.keys, found.entries.size) == (100, 100_000)
    assert 0 < counters.ttl(KEY) <= 86_400


def test_few_accesses_are_not_enough(counters: redis.Redis) -> None:
    size_store()
    found = load_sizing(counters)
    assert found
    assert (found.enough, found.curve.accesses, found.needs) == (False, 0, (None, None, None))
    asked(counters, keys=ENOUGH // 2, times=1)
    assert not compute_sizing(counters).enough


def test_it_is_counted_as_often_as_the_schedule_says() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["size-store"]["schedule"] == EVERY_SECONDS

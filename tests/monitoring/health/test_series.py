from __future__ import annotations

import pytest
import redis
from django.conf import settings

from tecken.jobs import keys
from tecken.jobs.records import records
from tecken.limits.port import Cost
from tecken.monitoring.health.measurements import (
    EVERY_SECONDS,
    KEPT,
    SERIES_KEY,
    Rate,
    Sample,
    ServerSample,
    compute_rates,
    load_samples,
    take_sample,
)
from tecken.redisclient import services as redis_services
from tecken.tasks import sample
from tests.jobs.traced import traced
from tests.support.quiet_usage import quiet_usage


@pytest.fixture
def counters(clear_redis_store: None) -> redis.Redis:
    return redis_services.counters_client()


def test_sample_has_servers_queue_and_requests_of_the_day(
    counters: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = quiet_usage(monkeypatch, counters)
    usage.count_version("v5")
    usage.count("symbolicate", Cost())
    usage.flush()
    sample()
    (stored,) = load_samples(counters)
    assert stored.store
    assert stored.cache
    assert stored.cache.used > 0
    assert stored.store.maxmemory == 500 * 1024 * 1024  # docker/images/redis/redis.conf
    assert (stored.requests, stored.queued, stored.canary) == (1, 0, None)


def test_sample_taken_by_a_scheduled_job_does_not_count_itself(counters: redis.Redis) -> None:
    """The chart of jobs to be done never fell below 1."""
    records().schedule("job")
    redis_services.queue_client().hset(keys.UNACKED, "tag of the sample", "[]")
    redis_services.queue_client().hset(keys.UNACKED, "tag of a conversion", "[]")
    traced(sample)
    assert load_samples(counters)[0].queued == 1


def test_sample_has_the_wait_of_the_slowest_queue(counters: redis.Redis) -> None:
    records().canary("convert", 0.5)
    records().canary("upload", 2.5)
    redis_services.queue_client().hset(keys.CANARIES, "housekeeping", "100 1000000000")
    take_sample()
    assert load_samples(counters)[0].canary == 2.5


def test_samples_are_limited_to_a_day(counters: redis.Redis) -> None:
    counters.rpush(SERIES_KEY, *[b"[1, null, null, null, null]"] * (KEPT + 5))
    take_sample()
    assert counters.llen(SERIES_KEY) == KEPT
    assert load_samples(counters, 2)[0] == Sample(1, None, None, None, None)


def test_sample_interval_is_that_of_the_schedule() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["sample-redis"]["schedule"] == EVERY_SECONDS


def server_sample(hits: int, misses: int, evicted: int) -> ServerSample:
    return ServerSample(100, 1000, 3, hits, misses, evicted)


def test_compute_rates_omits_restarted_counters() -> None:
    series = [
        Sample(0, None, server_sample(100, 0, 0), 10, 0),
        Sample(30, None, server_sample(190, 10, 60), 310, 0),
        Sample(60, None, server_sample(190, 10, 60), 310, 0),
        Sample(90, None, server_sample(5, 5, 0), 2, 0),  # the server restarted, and a new day began
        Sample(120, None, None, None, None),
        Sample(150, None, server_sample(9, 9, 0), 8, 0),
    ]
    assert list(compute_rates(series)) == [
        Rate(30, 0.9, 2.0, 10.0),
        Rate(60, None, 0.0, 0.0),
        Rate(90, None, None, None),
        Rate(120, None, None, None),
        Rate(150, None, None, None),
    ]

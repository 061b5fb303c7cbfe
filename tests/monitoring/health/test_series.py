from __future__ import annotations

import pytest
import redis
from django.conf import settings

from tecken import wiring
from tecken.jobs import keys
from tecken.jobs.records import records
from tecken.limits.port import Cost
from tecken.monitoring.health.series import (
    EVERY_SECONDS,
    KEPT,
    KEY,
    Rate,
    Sample,
    ServerSample,
    compute_rates,
    load_samples,
    take_sample,
)
from tecken.monitoring.health.tasks import sample
from tests.jobs.traced import traced


@pytest.fixture
def counters(clear_redis_store: None) -> redis.Redis:
    return wiring.counters_client()


def test_a_sample_has_both_servers_the_queue_and_todays_requests(counters: redis.Redis) -> None:
    wiring.usage().count_version("v5")
    wiring.usage().count("symbolicate", Cost())
    wiring.usage().flush()
    sample()
    (taken,) = load_samples(counters)
    assert taken.store
    assert taken.cache
    assert taken.cache.used > 0
    assert taken.store.maxmemory == 500 * 1024 * 1024  # docker/images/redis/redis.conf
    assert (taken.requests, taken.queued, taken.canary) == (1, 0, None)


def test_sample_taken_by_a_scheduled_job_does_not_count_itself(counters: redis.Redis) -> None:
    """The chart of jobs to be done never fell below 1."""
    records().schedule("job")
    wiring.queue_client().hset(keys.UNACKED, "tag of the sample", "[]")
    wiring.queue_client().hset(keys.UNACKED, "tag of a conversion", "[]")
    traced(sample)
    assert load_samples(counters)[0].queued == 1


def test_the_slowest_queue_counts_while_its_canaries_come_through(counters: redis.Redis) -> None:
    records().canary("convert", 0.5)
    records().canary("upload", 2.5)
    wiring.queue_client().hset(keys.CANARIES, "housekeeping", "100 1000000000")
    take_sample()
    assert load_samples(counters)[0].canary == 2.5


def test_what_is_kept_is_bounded(counters: redis.Redis) -> None:
    counters.rpush(KEY, *[b"[1, null, null, null, null]"] * (KEPT + 5))
    take_sample()
    assert counters.llen(KEY) == KEPT
    assert load_samples(counters, 2)[0] == Sample(1, None, None, None, None)


def test_it_is_taken_as_often_as_the_schedule_says() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["sample-redis"]["schedule"] == EVERY_SECONDS


def told(hits: int, misses: int, evicted: int) -> ServerSample:
    return ServerSample(100, 1000, 3, hits, misses, evicted)


def test_rates() -> None:
    taken = [
        Sample(0, None, told(100, 0, 0), 10, 0),
        Sample(30, None, told(190, 10, 60), 310, 0),
        Sample(60, None, told(190, 10, 60), 310, 0),
        Sample(90, None, told(5, 5, 0), 2, 0),  # the server started anew, and so did the day
        Sample(120, None, None, None, None),
        Sample(150, None, told(9, 9, 0), 8, 0),
    ]
    assert list(compute_rates(taken)) == [
        Rate(30, 0.9, 2.0, 10.0),
        Rate(60, None, 0.0, 0.0),
        Rate(90, None, None, None),
        Rate(120, None, None, None),
        Rate(150, None, None, None),
    ]

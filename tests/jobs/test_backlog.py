from __future__ import annotations

import time

import pytest
import redis

from tecken.celery import app
from tecken.jobs import keys
from tecken.jobs.keys import QUEUES
from tecken.jobs.records import LONGEST_EXPIRY_SECONDS, Backlog, DeadLetter, Queue, backlog, records
from tecken.redisclient import services as redis_services
from tecken.tasks import canary, clean_records
from tests.jobs.traced import traced
from tests.support.redis_server import free_port

pytestmark = pytest.mark.usefixtures("clear_redis_cache")


def now() -> Backlog:
    return backlog(redis_services.queue_client())


def queue(name: str) -> Queue:
    return next(queue for queue in now().queues if queue.name == name)


def test_backlog_empty_server_has_no_jobs() -> None:
    empty = dict.fromkeys(keys.PRIORITIES, 0)
    assert now() == Backlog(
        queues=tuple(Queue(name, 0, empty, None, None, None) for name in QUEUES),
        unacknowledged=0,
        oldest_unacknowledged_seconds=None,
        workers=(),
        dead=0,
        scheduled=0,
        beat=False,
    )


def test_backlog_counts_all_priorities_and_unacknowledged_jobs() -> None:
    for name in QUEUES:
        for priority in range(10):
            app.send_task("any", queue=name, priority=priority)
    assert queue("upload").by_priority == {0: 3, 3: 3, 6: 3, 9: 1}
    with app.connection_for_read() as connection, connection.SimpleQueue("upload") as lines:
        message = lines.get_nowait()
        assert (queue("upload").ready, now().unacknowledged, now().depth) == (9, 1, 30)
        assert now().oldest_unacknowledged_seconds is not None
        message.ack()
    assert now().depth == 29


def test_depth_excludes_scheduled_jobs_until_they_end() -> None:
    """The job that takes the samples for the charts is a scheduled job. It would count itself."""
    send_scheduled("one", "two")
    app.send_task("any", queue="convert")
    assert (sum(queue.ready for queue in now().queues), now().scheduled, now().depth) == (3, 2, 1)
    redis_services.queue_client().delete("housekeeping")
    records().end("one")
    records().end("two")
    assert (now().scheduled, now().depth) == (0, 1)


def test_depth_with_deleted_scheduled_messages_is_not_negative() -> None:
    send_scheduled("one")
    redis_services.queue_client().delete("housekeeping")
    assert now().depth == 0


def test_clean_removes_expired_scheduled_jobs() -> None:
    send_scheduled("old", "new")
    redis_services.queue_client().zincrby(keys.SCHEDULED, -LONGEST_EXPIRY_SECONDS - 60, "old")
    clean_records()
    assert redis_services.queue_client().zrange(keys.SCHEDULED, 0, -1) == [b"new"]
    longest = max(entry["options"]["expires"] for entry in app.conf.beat_schedule.values())
    assert longest <= LONGEST_EXPIRY_SECONDS


def send_scheduled(*ids: str) -> None:
    """Send jobs as beat does."""
    for number in ids:
        app.send_task(
            "any", task_id=number, queue="housekeeping", headers={"celery_beat_task": True}, expires=60
        )


def test_canary_age_uses_server_clock() -> None:
    """With the worker's clock, a wrong clock would give a wrong age."""
    records().canary("convert", 0.5)
    seconds, _micros = redis_services.queue_client().time()
    _waited, ended = (redis_services.queue_client().hget(keys.CANARIES, "convert") or b"").split()
    assert float(ended) == pytest.approx(seconds, abs=5)


def test_oldest_seconds_is_of_the_next_job() -> None:
    at = time.time()
    app.send_task("any", queue="convert", priority=9)
    first = queue("convert").oldest_seconds
    assert first is not None
    assert 0 <= first <= time.time() - at + 1
    redis_services.queue_client().rpush("upload", "{}")  # from somewhere else
    assert queue("upload").oldest_seconds is None


def test_canary_job_records_its_wait() -> None:
    traced(canary, "convert", sent=time.time() - 100)
    seen = queue("convert")
    assert seen.canary_seconds == pytest.approx(100, abs=30)
    assert seen.canary_age == pytest.approx(0, abs=30)
    assert queue("upload").canary_seconds is None


def test_backlog_counts_dead_letters() -> None:
    records().store_letter(DeadLetter("1", "any", "upload", "because", 1.0))
    assert now().dead == 1


def test_backlog_without_server_raises() -> None:
    with pytest.raises(redis.ConnectionError):
        backlog(redis.Redis(port=free_port()))

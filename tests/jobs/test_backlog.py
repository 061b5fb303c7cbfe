from __future__ import annotations

import time

import pytest
import redis

from tecken import wiring
from tecken.celery import app
from tecken.jobs import keys
from tecken.jobs.backlog import Backlog, Queue, backlog
from tecken.jobs.records import Letter, records
from tecken.jobs.tasks import canary
from tests.jobs.traced import traced
from tests.support.redis_server import free_port

pytestmark = pytest.mark.usefixtures("clear_redis_cache")


def now() -> Backlog:
    return backlog(wiring.queue_client())


def queue(name: str) -> Queue:
    return next(queue for queue in now().queues if queue.name == name)


def test_nothing_is_there() -> None:
    empty = dict.fromkeys(keys.PRIORITIES, 0)
    assert now() == Backlog(
        tuple(Queue(name, 0, empty, None, None, None) for name in keys.QUEUES), 0, None, (), 0
    )


def test_every_priority_of_every_queue_counts_and_so_does_what_is_unacknowledged() -> None:
    for name in keys.QUEUES:
        for priority in range(10):
            app.send_task("any", queue=name, priority=priority)
    assert queue("upload").by_priority == {0: 3, 3: 3, 6: 3, 9: 1}
    with app.connection_for_read() as connection, connection.SimpleQueue("upload") as lines:
        message = lines.get_nowait()
        assert (queue("upload").ready, now().unacknowledged, now().depth) == (9, 1, 30)
        assert now().oldest_unacknowledged_seconds is not None
        message.ack()
    assert now().depth == 29


def test_the_oldest_is_the_one_that_is_next() -> None:
    at = time.time()
    app.send_task("any", queue="convert", priority=9)
    first = queue("convert").oldest_seconds
    assert first is not None
    assert 0 <= first <= time.time() - at + 1
    wiring.queue_client().rpush("upload", "{}")  # from somewhere else
    assert queue("upload").oldest_seconds is None


def test_a_canary_tells_how_long_it_waited() -> None:
    traced(canary, "convert", sent=time.time() - 100)
    seen = queue("convert")
    assert seen.canary_seconds == pytest.approx(100, abs=30)
    assert seen.canary_age == pytest.approx(0, abs=30)
    assert queue("upload").canary_seconds is None


def test_dead_letters_count() -> None:
    records().bury(Letter("1", "any", "upload", "because", 1.0))
    assert now().dead == 1


def test_a_server_that_is_away_is_an_error() -> None:
    with pytest.raises(redis.ConnectionError):
        backlog(redis.Redis(port=free_port()))

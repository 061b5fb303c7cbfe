from __future__ import annotations

import pytest
import redis

from tecken.celery import app
from tecken.jobs import keys
from tecken.jobs.records import ALIVE_SECONDS, backlog
from tecken.jobs.worker import (
    INTERVAL_SECONDS,
    LOST_SECONDS,
    REMOVE_SECONDS,
    HeldJobs,
    WorkerHeartbeat,
    restore,
)
from tecken.redisclient import services as redis_services

pytestmark = pytest.mark.usefixtures("clear_redis_cache")


class Fleet:
    """Workers whose heartbeats and clock the test controls."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.restored: list[str] = []
        self.has: dict[str, set[str]] = {}

    def heart(self, name: str, client: redis.Redis | None = None) -> WorkerHeartbeat:
        return WorkerHeartbeat(
            client or redis_services.queue_client(),
            name,
            lambda: HeldJobs(["convert"], self.has.get(name, set()), 0),
            self.restored.append,
            lambda client: self.now if client.ping() else 0.0,
        )

    def beat(self, *hearts: WorkerHeartbeat, seconds: float = 0.0) -> None:
        """Let each heart beat every INTERVAL_SECONDS for so many seconds."""
        until = self.now + seconds
        while True:
            for heart in hearts:
                heart.beat()
            self.now += INTERVAL_SECONDS
            if self.now > until:
                return


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def delivered(*tags: str) -> None:
    redis_services.queue_client().zadd(keys.UNACKED_INDEX, dict.fromkeys(tags, 1.0))


def test_heartbeat_restores_only_jobs_of_silent_workers(fleet: Fleet) -> None:
    delivered("of a", "of b", "of no worker")
    fleet.has = {"a": {"of a"}, "b": {"of b"}}
    a, b = fleet.heart("a"), fleet.heart("b")
    fleet.beat(a, b, seconds=LOST_SECONDS - INTERVAL_SECONDS)
    assert fleet.restored == []
    fleet.beat(a, b, seconds=2 * INTERVAL_SECONDS)
    assert fleet.restored == ["of no worker"]
    redis_services.queue_client().zrem(keys.UNACKED_INDEX, "of no worker")
    fleet.beat(a, seconds=LOST_SECONDS + INTERVAL_SECONDS)
    assert fleet.restored == ["of no worker", "of b"]


def test_heartbeat_of_new_worker_restores_nothing(fleet: Fleet) -> None:
    delivered("old")
    redis_services.queue_client().zadd(keys.HELD, {"old": 1.0})
    fleet.beat(fleet.heart("a"), seconds=LOST_SECONDS - INTERVAL_SECONDS)
    assert fleet.restored == []


def test_heartbeat_after_server_failure_restores_nothing_at_first(fleet: Fleet) -> None:
    delivered("of b")
    fleet.has = {"b": {"of b"}}
    lines = redis.Redis(connection_pool=redis_services.queue_client().connection_pool)
    a, b = fleet.heart("a", lines), fleet.heart("b")
    fleet.beat(a, b, seconds=LOST_SECONDS + INTERVAL_SECONDS)
    away = redis.Redis(port=1)
    lines.connection_pool, there = away.connection_pool, lines.connection_pool
    with pytest.raises(redis.ConnectionError):
        fleet.beat(a)
    fleet.now += 10 * LOST_SECONDS
    lines.connection_pool = there
    fleet.beat(a, b, seconds=LOST_SECONDS)
    assert fleet.restored == []


def test_heartbeat_lists_workers_and_removes_silent_ones_later(fleet: Fleet) -> None:
    a, b = fleet.heart("a"), fleet.heart("b")
    fleet.has = {"a": {"1", "2"}}
    fleet.beat(a, b)
    fleet.beat(a, seconds=REMOVE_SECONDS - INTERVAL_SECONDS)
    assert set(redis_services.queue_client().hkeys(keys.WORKERS)) == {b"a", b"b"}
    fleet.beat(a, seconds=2 * INTERVAL_SECONDS)
    assert redis_services.queue_client().hkeys(keys.WORKERS) == [b"a"]
    a.stop()
    assert backlog(redis_services.queue_client()).workers == ()


def test_heartbeat_uses_server_clock(fleet: Fleet) -> None:
    WorkerHeartbeat(
        redis_services.queue_client(), "a", lambda: HeldJobs(["upload"], {"1"}, 1), fleet.restored.append
    ).beat()
    (worker,) = backlog(redis_services.queue_client()).workers
    assert (worker.name, worker.queues, worker.held, worker.running) == ("a", ("upload",), 1, 1)
    assert worker.alive
    assert not worker._replace(heard=ALIVE_SECONDS + 1).alive


def test_restore_twice_returns_the_job_once() -> None:
    app.send_task("any", [1], queue="upload", task_id="an id")
    with app.connection_for_read() as connection:
        channel = connection.channel()
        message = connection.SimpleQueue("upload", channel=channel).get_nowait()
        assert backlog(redis_services.queue_client()).unacknowledged == 1
        restore(app, message.delivery_tag)
        restore(app, message.delivery_tag)  # another worker does the same
        seen = backlog(redis_services.queue_client())
        assert (seen.unacknowledged, seen.depth) == (0, 1)
        channel.qos._delivered.clear()  # else it gives back what it has, too

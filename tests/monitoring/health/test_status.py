"""Health of a site with real servers, which the tests stop and restart."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connections
from django.test import Client
from kombu.connection import Connection
from pytest_django import Settings

from tecken import services
from tecken.jobs.keys import QUEUES
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tests.monitoring.health.conftest import Move
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import wait_until

pytestmark = pytest.mark.django_db
SOON = 60.0  # seconds; a second, and what a busy machine adds
REDIS = {"backend": "redis", "status": "connected"}


def fetch_health(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/health").json()
    return document


def wait_for_health(client: Client, holds: Callable[[dict[str, Any]], bool], what: str) -> None:
    """Wait for a document: results are used for a second."""
    wait_until(lambda: holds(fetch_health(client)), SOON, what)


def is_well(document: dict[str, Any]) -> bool:
    return bool(document["status"] == "healthy")


@pytest.mark.usefixtures("worker")
def test_health_of_a_working_site_is_healthy(client: Client) -> None:
    document = fetch_health(client)
    assert list(document) == [
        *("status", "version", "environment", "state", "maintenance", "redis", "queue", "store"),
        *("database", "storage", "disk", "worker", "beat", "config", "problems"),
    ]
    assert (document["status"], document["maintenance"], document["state"]) == ("healthy", False, ["ok"])
    assert document["redis"] == document["store"] == REDIS
    assert document["database"] == document["storage"] == {"status": "connected"}
    assert document["queue"] == {
        **REDIS,
        **{"queue_depth": 0, "oldest_seconds": None, "canary_seconds": None, "dead": 0},
    }
    heard = document["worker"].pop("heard_seconds")
    assert heard >= 0
    assert document["worker"] == {"status": "alive", "workers": 1, "unserved": []}
    assert document["disk"]["status"] == "free"
    assert document["disk"]["free_bytes"].keys() >= {"temporary_files", "storage"}
    assert document["beat"] == {"status": "starting", "canary_age_seconds": None}
    assert document["config"].items() >= {"stale": False, "bad": 0}.items()
    assert document["problems"] == []


def test_health_has_the_promised_keys(client: Client) -> None:
    document = fetch_health(client)
    assert {"status", "version", "environment", "redis", "queue"} <= document.keys()
    assert {"status", "backend"} <= document["redis"].keys()
    assert {"status", "backend", "queue_depth"} <= document["queue"].keys()


@pytest.mark.parametrize(("environment", "status"), [("production", 503), ("development", 200)])
@pytest.mark.parametrize("away", [RedisServer.stop, RedisServer.pause])
def test_health_without_redis_cache_is_503_in_production(
    client: Client,
    settings: Settings,
    redis_cache: RedisServer,
    environment: str,
    status: int,
    away: Callable[[RedisServer], None],
) -> None:
    settings.ENVIRONMENT = environment
    away(redis_cache)
    answer = client.get("/health")
    document = answer.json()
    assert (answer.status_code, document["status"]) == (status, "unhealthy")
    assert document["redis"]["status"] == document["queue"]["status"] == "disconnected"
    assert document["redis"]["why"] in ("ConnectionError", "TimeoutError")
    assert document["queue"]["queue_depth"] is None
    assert document["worker"] == {"status": "unknown", "workers": None}
    # The state is that of the breaker, which tries again after a moment: on a busy machine before it is read.
    wait_for_health(client, lambda document: "queue-down" in document["state"], "queue-down")


@pytest.mark.parametrize("away", [RedisServer.stop, RedisServer.pause])
def test_health_after_redis_cache_returned_is_healthy(
    client: Client, redis_cache: RedisServer, away: Callable[[RedisServer], None]
) -> None:
    away(redis_cache)
    assert fetch_health(client)["status"] == "unhealthy"
    redis_cache.resume() if away is RedisServer.pause else redis_cache.start()
    wait_for_health(
        client, lambda document: document["redis"]["status"] == "connected", "redis-cache is back"
    )
    wait_for_health(client, lambda document: document["state"] == ["ok"], "nothing is missing")


@pytest.mark.parametrize("away", [RedisServer.stop, RedisServer.pause])
@pytest.mark.usefixtures("worker")
def test_health_without_store_is_degraded(
    client: Client, settings: Settings, redis_store: RedisServer, away: Callable[[RedisServer], None]
) -> None:
    settings.ENVIRONMENT = "production"
    assert is_well(fetch_health(client))
    away(redis_store)
    wait_for_health(client, lambda document: bool(document["status"] == "degraded"), "the store is missed")
    answer = client.get("/health")
    document = answer.json()
    assert (answer.status_code, document["redis"]) == (200, REDIS)
    assert document["store"]["status"] == "disconnected"
    assert document["state"] == ["store-away"]
    assert answer["X-Tecken-State"] == "store-away"


@pytest.fixture
def database_at(settings: Settings) -> Iterator[Callable[[int], None]]:
    """Make threads that connect later use that port."""
    ours = connections.settings["default"]

    def move(port: int) -> None:
        elsewhere = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": port}
        connections.settings["default"] = {**ours, **elsewhere, "NAME": "none", "OPTIONS": {}}

    yield move
    connections.settings["default"] = ours


@pytest.mark.usefixtures("worker")
def test_health_without_database_is_degraded(client: Client, database_at: Callable[[int], None]) -> None:
    database_at(free_port())
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["database"] == {"status": "disconnected", "why": "OperationalError"}


def test_health_with_unresponsive_database_is_in_time(
    client: Client, settings: Settings, database_at: Callable[[int], None]
) -> None:
    settings.HEALTH_CHECK_SECONDS = 0.05
    services.discard_all()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        database_at(mute.getsockname()[1])
        answers = [fetch_health(client)["database"] for _ in range(3)]
    late = {"status": "disconnected", "why": "does not answer in time"}
    assert answers == [late, late, late]


@pytest.mark.usefixtures("worker")
def test_health_without_storage_is_degraded(client: Client, settings: Settings) -> None:
    settings.STORAGE_URL = f"s3://nobody/?endpoint=http://127.0.0.1:{free_port()}"
    services.discard_all()
    document = fetch_health(client)
    assert document["status"] == "degraded"
    assert document["storage"]["status"] == "disconnected"


def test_health_without_worker_is_degraded(client: Client) -> None:
    document = fetch_health(client)
    assert document["status"] == "degraded"
    expected = {"status": "missing", "workers": 0, "heard_seconds": None, "unserved": list(QUEUES)}
    assert document["worker"] == expected


def test_health_under_maintenance_needs_no_worker(client: Client) -> None:
    current.backend().set_maintenance("full", format_maintenance(Maintenance()), None)
    try:
        document = fetch_health(client)
        assert (document["status"], document["maintenance"]) == ("healthy", True)
        assert document["state"] == ["maintenance"]
    finally:
        current.backend().set_maintenance("full", None, None)


def test_queue_depth_counts_jobs_of_every_queue_and_priority(client: Client, settings: Settings) -> None:
    broker = Connection(settings.CELERY_BROKER_URL)  # type: ignore[no-untyped-call]
    with broker as connection, connection.channel() as channel:
        queues = [connection.SimpleQueue(name, channel=channel) for name in QUEUES]
        for queue in queues:
            for priority in range(10):
                queue.put({}, priority=priority)
        wait_for_health(client, depth_is(30), "all wait")
        queues[0].get()
        queues[1].get().ack()
        wait_for_health(client, depth_is(29), "one is being done, and one is done")
        for queue in queues:
            queue.close()


def depth_is(expected: int) -> Callable[[dict[str, Any]], bool]:
    return lambda document: bool(document["queue"]["queue_depth"] == expected)


# Drift ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("worker")
def test_problems_name_a_changed_policy_and_the_previous_one(
    client: Client, redis_store: RedisServer
) -> None:
    assert is_well(fetch_health(client))
    with redis.Redis.from_url(redis_store.url) as operator:
        operator.config_set("maxmemory-policy", "noeviction")
    text = "maxmemory-policy of redis-store became noeviction (it was allkeys-lru at start)"
    wait_for_health(client, lambda document: text in document["problems"], "the policy is told")
    assert fetch_health(client)["status"] == "degraded"


@pytest.mark.usefixtures("worker")
def test_health_of_a_server_that_became_a_replica_is_disconnected(
    client: Client, settings: Settings, redis_cache: RedisServer
) -> None:
    settings.ENVIRONMENT = "production"
    fetch_health(client)
    with redis.Redis.from_url(redis_cache.url) as operator:
        operator.replicaof("127.0.0.1", str(free_port()))
    text = "role of redis-cache became slave (it was master at start)"
    wait_for_health(client, lambda document: text in document["problems"], "the role is told")
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["redis"] == {"backend": "redis", "status": "disconnected", "why": "ReadOnlyError"}


def test_health_of_a_full_store_has_the_reason(client: Client, move: Move) -> None:
    with RedisServer(maxmemory="1", maxmemory_policy="noeviction") as full:
        move("store", full.url)
        assert fetch_health(client)["store"]["why"] == "OutOfMemoryError"


def test_health_of_a_server_with_a_full_disk_has_the_reason(
    client: Client, move: Move, tmp_path: Path
) -> None:
    with (
        RedisServer(save="3600 1", enable_protected_configs="yes") as broken,
        redis.Redis.from_url(broken.url) as operator,
    ):
        (tmp_path / "gone").mkdir()
        operator.config_set("dir", str(tmp_path / "gone"))
        (tmp_path / "gone").rmdir()
        operator.bgsave()
        wait_until(lambda: operator.info()["rdb_last_bgsave_status"] == "err", SOON, "the save has failed")
        move("store", broken.url)
        assert fetch_health(client)["store"]["why"] == "it could not write its data to disk"

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from kombu.connection import Connection
from pytest_django import Settings

from tecken import wiring
from tecken.health.status import queue_client
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]


@pytest.fixture
def redis_away(settings: Settings, clear_redis_cache: None) -> Iterator[None]:
    away = f"redis://127.0.0.1:{free_port()}"
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": f"{away}/0"}}
    settings.REDIS_QUEUE_URL = f"{away}/1"
    wiring.forget()
    yield
    wiring.forget()


def told(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/health").json()
    return document


def test_all_is_well(client: Client) -> None:
    document = told(client)
    assert list(document) == ["status", "version", "environment", "maintenance", "redis", "queue", "config"]
    assert (document["status"], document["maintenance"]) == ("healthy", False)
    assert document["redis"] == {"status": "connected", "backend": "redis"}
    assert document["queue"] == {"status": "connected", "backend": "redis", "queue_depth": 0}
    assert document["config"].items() >= {"stale": False, "bad": 0}.items()


@pytest.mark.parametrize(("environment", "status"), [("production", 503), ("development", 200)])
@pytest.mark.usefixtures("redis_away")
def test_production_is_nothing_without_redis(
    client: Client, settings: Settings, environment: str, status: int
) -> None:
    settings.ENVIRONMENT = environment
    answer = client.get("/health")
    document = answer.json()
    assert (answer.status_code, document["status"]) == (status, "unhealthy")
    assert document["redis"]["status"] == document["queue"]["status"] == "disconnected"
    assert document["queue"]["queue_depth"] is None


def test_jobs_of_every_priority_wait_until_they_are_done(client: Client, settings: Settings) -> None:
    broker = Connection(settings.CELERY_BROKER_URL)  # type: ignore[no-untyped-call]
    with broker as connection, connection.channel() as channel:
        queue = connection.SimpleQueue("celery", channel=channel)
        for priority in range(10):
            queue.put({}, priority=priority)
        assert told(client)["queue"]["queue_depth"] == 10
        queue.get()
        assert told(client)["queue"]["queue_depth"] == 10
        queue.get().ack()
        queue.get().ack()
        assert queue_client().hlen("unacked") == 1
        assert told(client)["queue"]["queue_depth"] == 8
        queue.close()


def test_prometheus_hears_of_the_configuration(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer["Content-Type"].startswith("text/plain")
    lines = answer.content.decode().splitlines()
    assert "tecken_config_stale 0.0" in lines
    assert 'tecken_maintenance{level="full"} 0.0' in lines

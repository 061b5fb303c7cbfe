from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tecken.monitoring import degraded
from tests.accounts.people import key, user
from tests.monitoring.health.conftest import Move
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.django_db

DETAILS = "/admin/health/redis"
ALL_WELL = {"database": "ok", "redis_cache": "ok", "queue": "ok", "redis_store": "ok", "storage": "ok"}


def nowhere() -> str:
    return f"redis://127.0.0.1:{free_port()}/0"


@pytest.mark.parametrize("path", ["/__lbheartbeat__", "/health/live", "/health/ready"])
def test_liveness_and_readiness_need_no_server(client: Client, move: Move, path: str) -> None:
    move("default", nowhere())
    move("store", nowhere())
    assert client.get(path).status_code == 200


def test_ready_while_draining_is_503(client: Client, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "ending"
    settings.DRAIN_FILE = str(file)
    assert client.get("/health/ready").json() == {"status": "ready"}
    file.touch()
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "ending"})
    assert client.get("/health/live").json() == {"status": "alive"}


def test_heartbeat_of_a_working_site_is_ok(client: Client) -> None:
    answer = client.get("/__heartbeat__")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": ALL_WELL})


def test_heartbeat_without_store_is_a_warning(client: Client, move: Move) -> None:
    move("store", nowhere())
    answer = client.get("/__heartbeat__")
    expected = {"status": "warning", "checks": {**ALL_WELL, "redis_store": "warning"}}
    assert (answer.status_code, answer.json()) == (200, expected)


def test_heartbeat_without_redis_cache_is_an_error(client: Client, move: Move) -> None:
    move("default", nowhere())
    answer = client.get("/__heartbeat__")
    expected = {"status": "error", "checks": {**ALL_WELL, "redis_cache": "error", "queue": "error"}}
    assert (answer.status_code, answer.json()) == (500, expected)


def test_heartbeat_of_a_server_without_writes_is_an_error(client: Client, move: Move) -> None:
    with RedisServer(replicaof=f"127.0.0.1 {free_port()}") as server:
        move("default", server.url)
        assert client.get("/__heartbeat__").json()["checks"]["redis_cache"] == "error"


def test_version_is_that_of_the_build(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path
    assert client.get("/__version__").status_code == 404
    (tmp_path / "version.json").write_text('{"commit": "abc"}')
    assert client.get("/__version__").json() == {"commit": "abc"}


# Details -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("worker")
def test_redis_details_have_the_promised_keys(client: Client) -> None:
    document = client.get(DETAILS, headers={"Auth-Token": key()}).json()
    assert list(document)[:3] == ["counter_backend", "queue_service", "demo_mode"]
    assert document["counter_backend"] == {"backend": "redis", "status": "connected"}
    expected = {"backend": "redis", "status": "connected", "queue_depth": 0}
    assert document["queue_service"].items() >= expected.items()
    assert document["demo_mode"] is False
    assert document["store"]["status"] == "connected"
    assert document["worker"]["status"] == "alive"


def test_redis_details_without_permission_are_forbidden(client: Client) -> None:
    assert client.get(DETAILS).status_code == 403
    assert client.get(DETAILS, headers={"Auth-Token": "none"}).status_code == 403
    client.force_login(user())
    assert client.get(DETAILS).status_code == 403


def test_redis_details_are_open_to_staff(client: Client) -> None:
    client.force_login(User.objects.create(username="op", is_staff=True))
    assert client.get(DETAILS).status_code == 200
    assert client.post(DETAILS).status_code == 405


def test_redis_details_with_a_token_need_no_redis_cache(client: Client, move: Move) -> None:
    token = key()
    move("default", nowhere())
    document = client.get(DETAILS, headers={"Auth-Token": token}).json()
    assert document["counter_backend"]["status"] == document["queue_service"]["status"] == "disconnected"


# Metrics -------------------------------------------------------------------------------------------------


def test_metrics_have_every_part_once(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer["Content-Type"].startswith("text/plain")
    lines = answer.content.decode().splitlines()
    assert "tecken_config_stale 0.0" in lines
    assert 'tecken_maintenance{level="full"} 0.0' in lines
    for part in ("redis-cache", "redis-store", "queue", "database", "storage"):
        assert lines.count(f'tecken_up{{part="{part}"}} 1.0') == 1
    assert 'tecken_queue_ready{priority="9",queue="convert"} 0.0' in lines
    assert 'tecken_redis_maxmemory_bytes{server="redis-store"} 5.24288e+08' in lines
    assert [line for line in lines if line.startswith("tecken_state{")] == [
        f'tecken_state{{state="{mode}"}} {float(mode == "ok")}' for mode in degraded.STATES
    ]


def test_metrics_omit_a_server_that_is_down(client: Client, move: Move) -> None:
    move("store", nowhere())
    lines = client.get("/metrics").content.decode().splitlines()
    assert 'tecken_up{part="redis-store"} 0.0' in lines
    assert not [line for line in lines if line.startswith("tecken_redis_clients") and "redis-store" in line]
    assert 'tecken_state{state="store-away"} 1.0' in lines

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.django_db

Move = Callable[[str, str], None]
ALL_WELL = {"database": "ok", "redis_cache": "ok", "redis_store": "ok"}


@pytest.fixture
def move(settings: Settings) -> Move:
    """Moves one of the caches to another server."""

    def to(alias: str, url: str) -> None:
        settings.CACHES = {**settings.CACHES, alias: {**settings.CACHES[alias], "LOCATION": url}}

    return to


@contextmanager
def replica() -> Iterator[RedisServer]:
    """Answers PING and refuses every write."""
    with RedisServer(replicaof=f"127.0.0.1 {free_port()}") as server:
        yield server


def test_the_load_balancer_needs_no_back_end(client: Client, move: Move) -> None:
    move("default", f"redis://127.0.0.1:{free_port()}/0")
    assert client.get("/__lbheartbeat__").status_code == 200


def test_all_is_well(client: Client) -> None:
    answer = client.get("/__heartbeat__")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": ALL_WELL})


def test_without_the_store_we_are_slower_but_here(client: Client, move: Move) -> None:
    move("store", f"redis://127.0.0.1:{free_port()}/0")
    answer = client.get("/__heartbeat__")
    expected = {"status": "warning", "checks": {**ALL_WELL, "redis_store": "warning"}}
    assert (answer.status_code, answer.json()) == (200, expected)


def test_without_redis_cache_something_is_wrong(client: Client, move: Move) -> None:
    move("default", f"redis://127.0.0.1:{free_port()}/0")
    answer = client.get("/__heartbeat__")
    expected = {"status": "error", "checks": {**ALL_WELL, "redis_cache": "error"}}
    assert (answer.status_code, answer.json()) == (500, expected)


def test_a_server_that_answers_but_takes_no_writes_is_not_well(client: Client, move: Move) -> None:
    with replica() as server:
        move("default", server.url)
        assert client.get("/__heartbeat__").json()["checks"]["redis_cache"] == "error"


def test_version_is_what_the_build_wrote(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path
    assert client.get("/__version__").status_code == 404
    (tmp_path / "version.json").write_text('{"commit": "abc"}')
    assert client.get("/__version__").json() == {"commit": "abc"}

from __future__ import annotations

from itertools import chain, repeat
from time import time
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tecken.store.access_counts import HitCounts
from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId
from tests.accounts.people import key, user
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("afresh")]
VIEW = "runtimeconfig.view_option"
ALL_SLOW = 0  # microseconds


@pytest.fixture
def afresh(settings: Settings, clear_redis_store: None) -> None:
    settings.HEALTH_CHECK_SECONDS = 30.0
    services.discard_all()


def shown(client: Client) -> dict[str, Any]:
    answer = client.get("/api/redis/", headers={"Auth-Token": key(VIEW)})
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def panel(document: dict[str, Any], server: str) -> dict[str, Any]:
    (found,) = (one for one in document["servers"] if one["server"] == server)
    assert found["why"] == ""
    its: dict[str, Any] = found["panel"]
    return its


def test_redis_shows_state_of_both_servers(client: Client) -> None:
    store = panel(shown(client), "redis-store")
    assert list(store) == [
        *("role", "version", "policy", "persistent", "memory", "clients", "maxclients"),
        *("hits", "misses", "hit_ratio", "evicted", "rates", "slow"),
    ]
    assert (store["role"], store["policy"], store["persistent"]) == ("master", "allkeys-lru", False)
    assert store["memory"]["maximum"] == 524_288_000
    assert 0 < store["memory"]["share"] < 1
    assert panel(shown(client), "redis-cache")["persistent"] is True


def test_slow_commands_have_no_arguments(client: Client, settings: Settings) -> None:
    with redis.Redis.from_url(settings.CACHES["store"]["LOCATION"]) as operator:
        before = operator.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"]
        operator.slowlog_reset()
        operator.config_set("slowlog-log-slower-than", ALL_SLOW)
        operator.set("somebody's secret", "page")
        operator.config_set("slowlog-log-slower-than", before)
    slow = panel(shown(client), "redis-store")["slow"]
    assert "SET" in [one["command"] for one in slow]
    assert "secret" not in str(slow)


def test_server_down_has_no_panel(client: Client, settings: Settings) -> None:
    away = {**settings.CACHES["store"], "LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    settings.CACHES = {**settings.CACHES, "store": away}
    services.discard_all()
    _cache, store = shown(client)["servers"]
    assert store == {"server": "redis-store", "why": "ConnectionError", "panel": None}
    services.discard_all()


def test_redis_is_for_staff_and_viewers(client: Client) -> None:
    assert client.get("/api/redis/").status_code == 403
    assert client.get("/api/redis/", headers={"Auth-Token": key()}).status_code == 403
    client.force_login(user())
    assert client.get("/api/redis/").status_code == 403
    client.force_login(User.objects.create(username="op", is_staff=True))
    assert client.get("/api/redis/").status_code == 200


def test_modules_are_most_requested_first(client: Client) -> None:
    asked = [PageKey(ObjectId("xul.pdb", "A" * 33), "0" * 16, number) for number in range(3)]
    times = chain([0.0], repeat(time()))
    tally = HitCounts(redis_services.cache_client(), RedisGuard("redis-cache"), clock=times.__next__)
    tally.note(asked, asked[:2])
    expected = {"debug_file": "xul.pdb", "debug_id": "A" * 33, "hits": 2, "misses": 1}
    assert shown(client)["modules"] == [expected]


def test_redis_under_maintenance_stays_open(client: Client) -> None:
    current.backend().set_maintenance("full", format_maintenance(Maintenance()), None)
    try:
        assert client.get("/api/redis/").status_code == 403
        shown(client)
    finally:
        current.backend().set_maintenance("full", None, None)

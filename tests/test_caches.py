from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import cache, caches
from django.test import override_settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from tecken.redisclient import client
from tecken.redisclient import services as redis_services
from tecken.redisclient.urls import database_url
from tecken.store import services as store_services
from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.sentinel import SentinelPair, wait_until
from tests.support.site_account import IMAGES

ALIASES = ["default", "store"]


@pytest.fixture
def throwaway_store() -> Iterator[RedisServer]:
    with RedisServer(IMAGES / "redis" / "redis.conf") as server:
        yield server


def kept(alias: str, key: str, value: str) -> bool:
    try:
        caches[alias].set(key, value)
        return bool(caches[alias].get(key) == value)
    except RedisError:
        return False


@pytest.mark.usefixtures("clear_redis_store")
@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("value", ["bar", "different"])
def test_caches_are_empty_at_the_start_of_a_test(alias: str, value: str) -> None:
    assert not caches[alias].get("foo")
    caches[alias].set("foo", value)
    assert caches[alias].get("foo") == value


def test_cache_first_test_finds_nothing(clear_redis_store: None) -> None:
    assert not cache.get("foo")
    cache.set("foo", "bar")


def test_cache_second_test_finds_nothing(clear_redis_store: None) -> None:
    assert not cache.get("foo")
    cache.set("foo", "different")


def test_cache_is_the_alias_default(clear_redis_cache: None) -> None:
    cache.set("foo", "bar")
    assert caches["default"].get("foo") == "bar"


def test_caches_are_two_servers(clear_redis_store: None) -> None:
    run_ids = {get_redis_connection(alias).info("server")["run_id"] for alias in ALIASES}
    assert len(run_ids) == 2


def test_cache_entry_without_timeout_is_persistent(clear_redis_cache: None) -> None:
    cache.set("kept", "value", timeout=None)
    cache.set("expires", "value")
    server = get_redis_connection("default")
    assert server.ttl(":1:kept") == -1
    assert 0 < server.ttl(":1:expires") <= 300


def test_store_entry_does_not_expire_by_default(clear_redis_store: None) -> None:
    caches["store"].set("kept", "value")
    assert get_redis_connection("store").ttl(":1:kept") == -1


def test_sessions_are_in_the_default_cache(clear_redis_store: None) -> None:
    session = SessionStore()
    session["user"] = "ted"
    session.save()
    assert cache.get(session.cache_key)["user"] == "ted"
    assert SessionStore(session.session_key)["user"] == "ted"


@pytest.mark.parametrize("alias", ALIASES)
def test_cache_values_are_json_and_never_unpickled(alias: str, clear_redis_store: None) -> None:
    caches[alias].set("foo", {"bar": [1, "two", None]})
    assert get_redis_connection(alias).get(":1:foo") == b'{"bar": [1, "two", null]}'
    get_redis_connection(alias).set(":1:pickled", b"\x80\x04N.")  # pickle of None
    with pytest.raises(UnicodeDecodeError):
        caches[alias].get("pickled")


def test_cache_clear_keeps_the_queue(clear_redis_cache: None) -> None:
    with client(settings.CELERY_BROKER_URL, timeout=1, connect_timeout=1) as queue:
        queue.rpush("celery", "job")
        cache.set("foo", "bar")
        cache.clear()
        assert cache.get("foo") is None
        assert queue.llen("celery") == 1


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("default", {"maxmemory-policy": "volatile-lru", "appendonly": "yes", "appendfsync": "everysec"}),
        (
            "store",
            {"maxmemory-policy": "allkeys-lru", "appendonly": "no", "save": "", "maxmemory": "524288000"},
        ),
    ],
)
def test_servers_use_the_settings_of_their_conf_files(alias: str, expected: dict[str, str]) -> None:
    found = get_redis_connection(alias).config_get(*expected)
    assert found == expected


def test_servers_have_a_memory_limit() -> None:
    for alias in ALIASES:
        assert int(get_redis_connection(alias).config_get("maxmemory")["maxmemory"]) > 0


def test_config_set_applies_until_a_restart(throwaway_store: RedisServer) -> None:
    with client(throwaway_store.url, timeout=1, connect_timeout=1) as server:
        server.config_set("maxmemory", "100mb")
        assert server.config_get("maxmemory") == {"maxmemory": "104857600"}
        throwaway_store.stop()
        throwaway_store.start()
        assert server.config_get("maxmemory") == {"maxmemory": "524288000"}


@pytest.mark.parametrize(
    ("alias", "part"), [("default", redis_services.cache_client), ("store", store_services.store_client)]
)
def test_services_share_the_connections_of_their_cache(alias: str, part: Callable[[], redis.Redis]) -> None:
    assert part().connection_pool is get_redis_connection(alias).connection_pool


def test_forked_child_has_its_own_connections(clear_redis_store: None) -> None:
    program = [sys.executable, "-m", "tests.caches_fork"]
    ran = subprocess.run(program, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("alias", ALIASES)
def test_cache_behind_sentinels_uses_the_new_master(alias: str) -> None:
    with SentinelPair() as pair:
        backend = {**settings.CACHES[alias], "LOCATION": database_url(pair.url, 0)}
        with override_settings(CACHES={**settings.CACHES, alias: backend}):
            caches[alias].set("foo", "bar")
            pair.master.stop()
            pair.wait_for_other()
            wait_until(lambda: kept(alias, "foo", "different"), 30, "a value that is kept")


@pytest.fixture
def clustered() -> Iterator[RedisCluster]:
    with RedisCluster(IMAGES / "redis" / "redis.conf", replicas=1) as cluster:
        backend = {**settings.CACHES["store"], "LOCATION": database_url(cluster.url, 0)}
        with override_settings(CACHES={**settings.CACHES, "store": backend}):
            yield cluster


def test_store_on_a_cluster_keeps_values(clustered: RedisCluster) -> None:
    store: Any = caches["store"]
    many = {f"key-{number}": number for number in range(30)}
    store.set_many(many)
    assert store.get_many([*many, "none"]) == many
    assert store.add("key-1", "kept") is False
    assert store.incr("key-1") == 2
    assert store.has_key("key-1")
    assert store.touch("key-1", 60)
    assert 0 < store.ttl("key-1") <= 60
    assert sorted(store.keys("key-*")) == sorted(many)
    assert sorted(store.iter_keys("key-*")) == sorted(many)
    store.delete_many([f"key-{number}" for number in range(10)])
    assert store.delete("key-10")
    assert len(store.keys("*")) == 19
    assert store.delete_pattern("key-1*") == 9
    store.clear()
    assert store.keys("*") == []


def test_store_on_a_cluster_uses_the_replacement_of_a_dead_node(clustered: RedisCluster) -> None:
    keys = [f"key-{number}" for number in range(30)]
    assert all(kept("store", key, "bar") for key in keys)
    clustered.servers[0].kill()
    with pytest.raises(RedisError):
        caches["store"].get_many(keys)
    wait_until(lambda: all(kept("store", key, "different") for key in keys), 30, "values that are kept")

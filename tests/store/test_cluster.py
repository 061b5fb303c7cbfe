"""The store on a cluster: its nodes are one store, and one that is away costs its own keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis.crc import key_slot

from tecken.errors import StoreUnavailable
from tecken.redisclient import client
from tecken.store.page_store import RedisPageStore
from tecken.store.port import Missing, PageKey, header_key, page_key
from tecken.symbols.ids import ObjectId
from tests.store.conftest import STORE_CONF
from tests.support.cluster import RedisCluster
from tests.support.sentinel import wait_until

MODULES = [ObjectId.parse(f"{number}.pdb", "A" * 33) for number in range(30)]
PAGES = {PageKey(module, "a" * 16, number): bytes(500) for module in MODULES for number in range(3)}


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(STORE_CONF) as running:
        yield running


@contextmanager
def connected(cluster: RedisCluster, timeout: float = 5) -> Iterator[RedisPageStore]:
    with client(cluster.url, timeout=timeout, connect_timeout=timeout) as made:
        yield RedisPageStore(made)


def fill(store: RedisPageStore) -> None:
    for module in MODULES:
        store.put_header(module, b"header")
    store.put_pages(PAGES)


def on_first(key: str) -> bool:
    """Whether the first of three primaries has it."""
    return key_slot(key.encode()) * 3 // 16384 == 0


def test_cluster_stats_are_sums_of_all_nodes(cluster: RedisCluster) -> None:
    with connected(cluster) as store:
        fill(store)
        store.put_missing(ObjectId.parse("gone.pdb", "A" * 33), Missing("absent", ""), seconds=60)
        stats = store.stats()
    assert (stats.keys, stats.modules, stats.modules_exact) == (30 + 90 + 1, 30, True)
    assert (stats.maxmemory, stats.policy, stats.page_size) == (3 * (500 << 20), "allkeys-lru", 500)


def test_cluster_read_omits_keys_of_a_mute_node(cluster: RedisCluster) -> None:
    with connected(cluster, timeout=2) as store:
        fill(store)
        cluster.servers[0].pause()
        headers, pages = store.headers(MODULES), store.pages(list(PAGES))
        cluster.servers[0].resume()
    assert headers == {module: b"header" for module in MODULES if not on_first(header_key(module))}
    assert pages == {key: raw for key, raw in PAGES.items() if not on_first(page_key(key))}


def test_cluster_write_to_a_mute_node_fails_and_reads_succeed(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.redisclient.cluster.PAUSE", 600.0)
    with connected(cluster, timeout=2) as store:
        fill(store)
        cluster.servers[0].pause()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            store.put_pages(PAGES)
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            store.put_pages(PAGES)
        assert store.pages(list(PAGES))
        cluster.servers[0].resume()


def test_cluster_write_after_a_node_died_reaches_its_replica() -> None:
    def all_there() -> bool:
        try:
            store.put_pages(PAGES)
            return store.pages(list(PAGES)) == PAGES
        except StoreUnavailable:
            return False

    with RedisCluster(STORE_CONF, replicas=1) as cluster, connected(cluster) as store:
        fill(store)
        cluster.servers[0].kill()
        wait_until(all_there, 60, "every page is written and read")


def test_cluster_read_without_any_node_is_unavailable(cluster: RedisCluster) -> None:
    with connected(cluster) as store:
        fill(store)
        for server in cluster.servers:
            server.kill()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            store.headers(MODULES)

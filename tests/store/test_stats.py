from __future__ import annotations

import pytest
import redis

from tecken.store.page_store import RedisPageStore
from tecken.store.port import Missing, PageKey
from tecken.symbols.ids import ObjectId


@pytest.fixture
def page_store(connection: redis.Redis) -> RedisPageStore:
    return RedisPageStore(connection)


def put(store: RedisPageStore, modules: int, pages_each: int) -> list[ObjectId]:
    made = [ObjectId.parse(f"{number}.pdb", "A" * 33) for number in range(modules)]
    for module in made:
        store.put_header(module, b"header")
    store.put_pages({PageKey(m, "a" * 16, n): bytes(1000 * (1 + n)) for m in made for n in range(pages_each)})
    return made


def test_stats_of_an_empty_store_are_zero(page_store: RedisPageStore) -> None:
    stats = page_store.stats()
    assert (stats.keys, stats.modules, stats.modules_exact, stats.page_size) == (0, 0, True, 0)
    assert (stats.maxmemory, stats.policy, stats.evicted) == (500 << 20, "allkeys-lru", 0)
    assert stats.hit_ratio == 0


def test_stats_have_the_number_of_modules_and_the_page_size(
    page_store: RedisPageStore, connection: redis.Redis
) -> None:
    put(page_store, modules=10, pages_each=3)
    page_store.put_missing(ObjectId.parse("gone.pdb", "A" * 33), Missing("absent", ""), seconds=60)
    connection.set(":1:somebody else's", "x")
    connection.rpush(f":1:symbol:0.pdb/{'A' * 33}/{'a' * 16}/9", "not a page")
    stats = page_store.stats()
    assert (stats.keys, stats.modules, stats.modules_exact) == (43, 10, True)
    assert stats.page_size == 2000
    assert stats.used > 10 * 6000


def test_stats_have_the_hits_of_the_server(page_store: RedisPageStore, connection: redis.Redis) -> None:
    module, *_ = put(page_store, modules=1, pages_each=3)
    connection.config_resetstat()
    page_store.pages([PageKey(module, "a" * 16, number) for number in range(4)])
    stats = page_store.stats()
    assert (stats.hits, stats.misses) == (3, 1)
    assert stats.hit_ratio == 0.75


def test_stats_of_a_large_store_are_estimated(page_store: RedisPageStore) -> None:
    put(page_store, modules=500, pages_each=7)
    stats = page_store.stats(scan_seconds=0)
    assert not stats.modules_exact
    assert stats.keys == 4000
    assert 350 < stats.modules < 700

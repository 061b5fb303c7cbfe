from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.store.access_counts import (
    CHUNK,
    CHUNKS,
    KEY,
    LOWEST,
    PER_KEY_BYTES,
    AccessSample,
    InstrumentedStore,
    read_chunks,
)
from tecken.store.miss_ratio import PLACES, hash_name
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageKey
from tecken.symbols.ids import ObjectId
from tests.support.clock import Clock
from tests.support.redis_server import free_port

XUL = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
PAGE, OTHER = PageKey(XUL, "0" * 16, 0), PageKey(XUL, "0" * 16, 1)


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def accesses(connection: redis.Redis, clock: Clock) -> AccessSample:
    return AccessSample(connection, RedisGuard("redis-cache"), clock)


@pytest.fixture
def away() -> Iterator[redis.Redis]:
    with client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        yield refused


def names(count: int, start: int = 0) -> list[tuple[str, int]]:
    return [(f"page {number}", 1000) for number in range(start, start + count)]


def test_access_sample_sends_a_full_chunk(accesses: AccessSample, connection: redis.Redis) -> None:
    accesses.note(names(CHUNK - 1))
    assert read_chunks(connection) == []
    accesses.note(names(1))
    (chunk,) = read_chunks(connection)
    assert (chunk.below, chunk.total, len(chunk.accesses)) == (PLACES, CHUNK, CHUNK)
    assert chunk.accesses[0] == (hash_name("page 0"), 1000 + PER_KEY_BYTES)


def test_access_sample_sends_a_small_chunk_after_a_minute(
    accesses: AccessSample, connection: redis.Redis, clock: Clock
) -> None:
    accesses.note(names(2))
    clock.now = 61
    accesses.note(names(1))
    assert [len(chunk.accesses) for chunk in read_chunks(connection)] == [3]


def test_access_sample_without_accesses_sends_nothing(
    accesses: AccessSample, connection: redis.Redis, clock: Clock
) -> None:
    clock.now = 61
    accesses.note([])
    assert connection.exists(KEY) == 0


def test_access_sample_adapts_its_rate_to_the_load(
    accesses: AccessSample, connection: redis.Redis, clock: Clock
) -> None:
    for start in range(0, 60_000, 1000):
        accesses.note(names(1000, start))
    busy = read_chunks(connection)[-1]
    assert LOWEST <= busy.below < PLACES // 4
    assert busy.total > len(busy.accesses)
    for _ in range(20):
        clock.now += 61
        accesses.note(names(1))
    assert read_chunks(connection)[-1].below == PLACES


def test_access_sample_of_few_keys_has_all_of_them(accesses: AccessSample, connection: redis.Redis) -> None:
    for _ in range(500):
        accesses.note(names(20))
    assert {chunk.below for chunk in read_chunks(connection)} == {PLACES}


def test_access_samples_on_redis_are_bounded(
    accesses: AccessSample, connection: redis.Redis, clock: Clock
) -> None:
    connection.rpush(KEY, *[b"old"] * (CHUNKS + 10))
    clock.now = 61
    accesses.note(names(1))
    assert connection.llen(KEY) == CHUNKS
    assert len(read_chunks(connection)) == 1  # what cannot be read is passed over


def test_access_sample_without_redis_raises_nothing(away: redis.Redis, clock: Clock) -> None:
    accesses = AccessSample(away, RedisGuard("redis-cache"), clock)
    for start in range(0, 5000, 500):
        accesses.note(names(500, start))


def test_instrumented_store_records_hits_and_stored_values(
    accesses: AccessSample, connection: redis.Redis, clock: Clock
) -> None:
    store = InstrumentedStore(MemoryPageStore(1 << 20), accesses)
    assert store.headers([XUL]) == {}
    store.put_header(XUL, b"header")
    assert store.pages([PAGE, OTHER]) == {}
    store.put_pages({PAGE: b"first", OTHER: b"second"})
    store.headers([XUL])
    store.pages([PAGE])
    clock.now = 61
    accesses.note([])
    (chunk,) = read_chunks(connection)
    assert [access.size - PER_KEY_BYTES for access in chunk.accesses] == [6, 5, 6, 6, 5]
    assert chunk.accesses[0].key == chunk.accesses[3].key == hash_name(f":1:symbol:{XUL}")


def test_instrumented_store_does_not_record_markers(
    accesses: AccessSample, connection: redis.Redis, clock: Clock
) -> None:
    store = InstrumentedStore(MemoryPageStore(1 << 20), accesses)
    store.put_missing(XUL, Missing("absent", "nobody has it"), 60)
    store.headers([XUL])
    store.forget(XUL)
    clock.now = 61
    accesses.note([])
    assert read_chunks(connection) == []


def test_overhead_of_a_key_is_that_of_a_server(connection: redis.Redis) -> None:
    before = connection.info("memory")["used_memory"]
    with connection.pipeline(transaction=False) as pipeline:
        for number in range(5000):
            pipeline.set(f":1:symbol:{XUL}/0123456789abcdef/{number}", bytes(2000))
        pipeline.execute()
    each = (connection.info("memory")["used_memory"] - before) / 5000 - 2000
    assert PER_KEY_BYTES / 2 < each < PER_KEY_BYTES * 2

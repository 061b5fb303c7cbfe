from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from tecken.errors import Unavailable
from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.storage.presence_cache import (
    PresenceCache,
    PresenceLifetimes,
    Remembered,
    Unknown,
    code_file_key,
    other_case_key,
    regular_file_key,
    try_file_key,
    upstream_file_key,
)
from tecken.symbols.layouts import FileKey
from tests.support.redis_server import free_port

KEY = FileKey("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2", "xul.sym")
NAME = regular_file_key(KEY)
LIFETIMES = PresenceLifetimes(there=100, absent=10, doubtful=1)


@pytest.fixture
def connection() -> Iterator[redis.Redis]:
    with client(f"{os.environ['REDIS_URL']}/0", timeout=5, connect_timeout=5) as connected:
        connected.flushdb()
        yield connected


@pytest.fixture
def known(connection: redis.Redis) -> PresenceCache:
    return PresenceCache(connection, RedisGuard("redis-cache"), lambda: LIFETIMES)


@pytest.fixture
def away() -> Iterator[PresenceCache]:
    with client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        yield PresenceCache(refused, RedisGuard("redis-cache"), lambda: LIFETIMES)


@pytest.mark.parametrize(("fact", "seconds"), [(None, 10), ([12, "etag", 1.5], 100), ([], 100)])
def test_presence_cache_result_is_stored_until_it_expires(
    known: PresenceCache, connection: redis.Redis, fact: list[object] | None, seconds: int
) -> None:
    known.store(NAME, known.lease(NAME), fact)
    assert known.get([NAME, "known:other"]) == [fact, Unknown()]
    assert 0 < connection.ttl(NAME) <= seconds


def test_presence_cache_result_from_before_an_upload_is_not_stored(known: PresenceCache) -> None:
    before = known.lease(NAME)
    known.forget_file(KEY)
    known.store(NAME, before, None)
    assert known.get([NAME]) == [Unknown()]


def test_presence_cache_result_from_before_an_upload_does_not_replace_a_later_one(
    known: PresenceCache,
) -> None:
    before = known.lease(NAME)
    known.forget_file(KEY)
    after = known.lease(NAME)
    known.store(NAME, before, None)
    known.store(NAME, after, [1])
    assert known.get([NAME]) == [[1]]


def test_presence_cache_second_lease_is_unknown(known: PresenceCache) -> None:
    assert known.lease(NAME).lease
    assert known.lease(NAME) == Unknown()
    assert known.get([NAME]) == [Unknown()]


def test_presence_cache_remembered_has_result_and_remaining_seconds(known: PresenceCache) -> None:
    other = try_file_key(KEY)
    known.store(NAME, known.lease(NAME), [1])
    known.lease(other)
    there, leased = known.describe([NAME, other])
    assert there.fact == [1]
    assert there.seconds is not None
    assert 0 < there.seconds <= LIFETIMES.there
    assert leased == Remembered(Unknown(), None)


def test_presence_cache_changed_removes_all_entries_of_a_file(known: PresenceCache) -> None:
    code = [code_file_key("xul.dll", "5AB380779000", with_try=each) for each in (False, True)]
    names = [NAME, try_file_key(KEY), upstream_file_key(KEY), *code]
    for name in names:
        known.store(name, known.lease(name), None)
    known.forget_file(KEY, "xul.dll", "5ab380779000")
    assert known.get(names) == [Unknown()] * 5


@pytest.mark.parametrize(("debug_file", "is_forgotten"), [("xul.pdb", True), ("libxul.so", False)])
def test_presence_cache_changed_removes_the_other_case_of_windows_names(
    known: PresenceCache, debug_file: str, is_forgotten: bool
) -> None:
    key = KEY._replace(debug_file=debug_file)
    names = [other_case_key(regular_file_key(key)), other_case_key(try_file_key(key))]
    for name in names:
        known.store(name, known.lease(name), None)
    known.forget_file(key)
    assert known.get(names) == [Unknown() if is_forgotten else None] * 2


def test_presence_cache_without_redis_cache_is_unknown(away: PresenceCache) -> None:
    assert away.get([NAME, NAME]) == [Unknown(), Unknown()]
    assert away.lease(NAME) == Unknown()
    away.store(NAME, Unknown(b"?lease"), None)
    with pytest.raises(Unavailable):
        away.forget_file(KEY)
    with pytest.raises(Unavailable):
        away.describe([NAME])


def test_presence_cache_value_of_another_type_is_could_not_ask(
    known: PresenceCache, connection: redis.Redis
) -> None:
    connection.hset(NAME, "a", "b")
    # MGET returns nil for a value of another type.
    assert known.get([NAME]) == [Unknown()]
    known.store(NAME, Unknown(b"?lease"), None)

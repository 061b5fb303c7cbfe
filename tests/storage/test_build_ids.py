"""Whole build ids on redis-cache."""

from __future__ import annotations

import pytest

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.redisclient.services import cache_client
from tecken.storage import build_ids as module
from tecken.storage.build_ids import INDEX, MAX_OF_ONE, SECONDS, BuildIds, build_ids_key
from tests.upload.natives import BUILD_ID, ELF_ID, FRAMES_BUILD_ID, FRAMES_ID

START = BUILD_ID[:32]


@pytest.fixture
def build_ids() -> BuildIds:
    client = cache_client()
    client.flushdb()
    return BuildIds(client, RedisGuard("redis-cache"))


def test_note_makes_a_build_id_known_by_its_debug_id(build_ids: BuildIds) -> None:
    assert build_ids.find(ELF_ID) == []
    assert build_ids.note([BUILD_ID.upper(), FRAMES_BUILD_ID]) == {ELF_ID, FRAMES_ID}
    assert build_ids.find(ELF_ID) == [BUILD_ID]
    assert build_ids.note([BUILD_ID]) == set()
    assert 0 < cache_client().ttl(build_ids_key(ELF_ID)) <= SECONDS


def test_note_keeps_the_last_build_ids_of_a_debug_id(build_ids: BuildIds) -> None:
    """Another client may send any end of it, and must not displace the right one for ever."""
    others = [f"{START}{number:08x}" for number in range(10)]
    for other in others:
        build_ids.note([other])
    build_ids.note([BUILD_ID])
    assert build_ids.find(ELF_ID) == [BUILD_ID, *reversed(others)][:MAX_OF_ONE]


@pytest.mark.parametrize("other", ["", "A" * 32, f"{ELF_ID}", "5D8A5E191F0000", "a" * 64])
def test_note_ignores_ids_of_another_length(build_ids: BuildIds, other: str) -> None:
    assert build_ids.note([other]) == set()
    assert cache_client().keys("known:builds*") == []


def test_note_is_bounded(build_ids: BuildIds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDS", 3)
    monkeypatch.setattr(module, "MAX_AT_ONCE", 2)
    ids = [f"{number:040x}" for number in range(9)]
    for some_id in ids:
        build_ids.note([some_id])
    build_ids.note([BUILD_ID, FRAMES_BUILD_ID, "0" * 39 + "f"])
    client = cache_client()
    assert client.zcard(INDEX) == 3
    assert len(client.keys("known:builds:*")) == 3
    assert build_ids.find(ELF_ID) == [BUILD_ID]


def test_note_without_redis_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = RedisGuard("redis-cache")
    guard.breaker.record_failure()
    build_ids = BuildIds(cache_client(), guard)
    assert build_ids.note([BUILD_ID]) == set()
    with pytest.raises(Unavailable):
        build_ids.find(ELF_ID)

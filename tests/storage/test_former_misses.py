"""Uses of modules that were missing: stored for watched ids only, and never an error."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tecken.errors import Unavailable
from tecken.redisclient import client as redis_client
from tecken.redisclient.guard import RedisGuard
from tecken.redisclient.services import cache_client, cache_guard
from tecken.storage import former_misses
from tecken.storage.former_misses import FormerMisses, watched_id
from tests.support.redis_server import free_port

pytestmark = pytest.mark.usefixtures("clear_redis_cache")
FIRST, SECOND = "A" * 33, "B" * 33


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock | None = None) -> FormerMisses:
    return FormerMisses(cache_client(), cache_guard(), clock or Clock())


def test_note_stores_the_time_for_watched_ids_only() -> None:
    uses = made()
    uses.watch([FIRST])
    assert uses.last_uses([FIRST, SECOND]) == {}
    uses.note([FIRST, SECOND])
    assert uses.last_uses([FIRST, SECOND]) == {FIRST: datetime.fromtimestamp(1_000_000, UTC)}
    assert cache_client().keys("missing:used:*") == [f"missing:used:{FIRST}".encode()]


def test_note_keeps_the_time_to_live() -> None:
    uses = made()
    uses.watch([FIRST])
    uses.note([FIRST])
    left = cache_client().ttl(f"missing:used:{FIRST}")
    assert 0 < left <= former_misses.WATCHED_SECONDS


def test_note_of_the_same_id_is_sent_once_a_minute() -> None:
    clock = Clock()
    uses = made(clock)
    uses.watch([FIRST])
    uses.note([FIRST])
    clock.now += 59
    uses.note([FIRST])
    assert uses.last_uses([FIRST])[FIRST].timestamp() == 1_000_000
    clock.now += 2
    uses.note([FIRST])
    assert uses.last_uses([FIRST])[FIRST].timestamp() == 1_000_061


def test_watch_again_keeps_a_use() -> None:
    uses = made()
    uses.watch([FIRST])
    uses.note([FIRST])
    uses.watch([FIRST])
    assert FIRST in uses.last_uses([FIRST])


def test_note_of_many_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(former_misses, "MAX_SENT", 1)
    uses = made()
    uses.watch([FIRST, SECOND])
    uses.note([FIRST, SECOND])
    assert list(uses.last_uses([FIRST, SECOND])) == [FIRST]


def test_without_redis_watch_and_note_raise_nothing() -> None:
    client = redis_client(f"redis://127.0.0.1:{free_port()}/0", timeout=0.1, connect_timeout=0.1)
    uses = FormerMisses(client, RedisGuard("cache"))
    uses.watch([FIRST])
    uses.note([FIRST])
    with pytest.raises(Unavailable):
        uses.last_uses([FIRST])


def test_watched_id_of_a_short_id_has_the_name() -> None:
    assert watched_id("App.EXE", "5f3a1000") == "app.exe/5F3A1000"
    assert watched_id("App.EXE", "a" * 32) == "A" * 32

"""Contract of every ConfigBackend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Barrier, Thread

import pytest
import redis

from tecken.errors import Conflict
from tecken.redisclient import client
from tecken.runtimeconfig.backend import Change, ConfigBackend, ConfigHead, Hint, Level, Report, Values
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backends.memory import MemoryBackend
from tecken.runtimeconfig.backends.redis import RedisBackend

JOBS = {"symbolicate_max_jobs": "20"}
MANY = {f"option_{number}@2026-11-21T22:00:00Z/": f"日本 {number}" for number in range(500)}
LONGEST = 10.0
LATER, PAST = timedelta(hours=1), timedelta(hours=-1)
LEVELS: tuple[Level, ...] = ("full", "uploads")


def change(version: int, stamp: str = "a") -> Change:
    return Change(version, stamp, "alice@example.com", "why not", "2026-11-21T22:00:00+00:00", "cli")


@pytest.fixture
def connection() -> Iterator[redis.Redis]:
    with client(os.environ["REDIS_URL"], timeout=5, connect_timeout=5) as connected:
        connected.flushall()
        yield connected


@pytest.fixture(params=["memory", "file", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> ConfigBackend:
    if request.param == "memory":
        return MemoryBackend()
    if request.param == "file":
        return FileBackend(tmp_path / "not" / "there" / "config.json")
    return RedisBackend(request.getfixturevalue("connection"), "test:config")


def test_nothing_is_there_at_first(backend: ConfigBackend) -> None:
    assert backend.head() == ConfigHead(0, "", None, None)
    assert backend.read() == Values(0, "", {})
    assert backend.reports() == []


def test_what_is_written_is_read(backend: ConfigBackend) -> None:
    backend.write(change(1), MANY, expected=0)
    assert backend.head() == ConfigHead(1, "a", None, None)
    assert backend.read() == Values(1, "a", MANY)


def test_a_version_replaces_the_whole_of_the_one_before(backend: ConfigBackend) -> None:
    backend.write(change(1), MANY, expected=0)
    backend.write(change(2, "b"), JOBS, expected=1)
    assert backend.read() == Values(2, "b", JOBS)
    backend.write(change(3, "c"), {}, expected=2)
    assert backend.read() == Values(3, "c", {})


def test_a_version_may_be_lower_than_the_one_before(backend: ConfigBackend) -> None:
    backend.write(change(8), MANY, expected=0)
    backend.write(change(5, "b"), JOBS, expected=8)
    assert backend.head()[:2] == (5, "b")


@pytest.mark.parametrize("expected", [0, 2])
def test_who_expects_another_version_changes_nothing(backend: ConfigBackend, expected: int) -> None:
    backend.write(change(1), JOBS, expected=0)
    with pytest.raises(Conflict, match=f"has version 1, not {expected}"):
        backend.write(change(9, "z"), MANY, expected=expected)
    assert backend.read() == Values(1, "a", JOBS)


def test_of_writers_at_once_one_is_first(backend: ConfigBackend) -> None:
    together, won = Barrier(8), SimpleQueue[str]()

    def write(stamp: str) -> None:
        together.wait()
        try:
            backend.write(change(1, stamp), {"full_tracing": stamp}, expected=0)
        except Conflict:
            return
        won.put(stamp)

    threads = [Thread(target=write, args=[str(number)]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST)
    stamp = won.get_nowait()
    assert won.empty()
    assert backend.read() == Values(1, stamp, {"full_tracing": stamp})


def test_a_report_is_replaced_by_the_next_of_the_same_process(backend: ConfigBackend) -> None:
    first = Report("host:1", "web", 1, "a", 0.5, 0)
    second = Report("host:2", "worker", 1, "a", 0.0, 2)
    backend.report(first)
    backend.report(second)
    backend.report(first._replace(version=2, stamp="b"))
    assert sorted(backend.reports()) == [first._replace(version=2, stamp="b"), second]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", ["", "x", '{"message": "日本"}\nuntil noon'])
def test_maintenance_is_on_whatever_its_text(backend: ConfigBackend, level: Level, text: str) -> None:
    backend.set_maintenance(level, text, None)
    on = (text, None) if level == "full" else (None, text)
    assert backend.head() == ConfigHead(0, "", *on)
    backend.set_maintenance(level, None, None)
    assert backend.head() == ConfigHead(0, "", None, None)
    backend.set_maintenance(level, None, None)


def test_maintenance_ends_by_itself(backend: ConfigBackend) -> None:
    now = datetime.now(UTC)
    backend.set_maintenance("full", "x", now + LATER)
    assert backend.head().maintenance == "x"
    backend.set_maintenance("full", "x", now + PAST)
    assert backend.head().maintenance is None
    backend.set_maintenance("full", "y", None)
    assert backend.head().maintenance == "y"


def test_maintenance_leaves_the_values_alone(backend: ConfigBackend) -> None:
    backend.write(change(1), JOBS, expected=0)
    backend.set_maintenance("uploads", "x", None)
    backend.write(change(2, "b"), JOBS, expected=1)
    assert backend.head() == ConfigHead(2, "b", None, "x")


@pytest.fixture
def telling(connection: redis.Redis) -> ConfigBackend:
    """The backend that sends messages; the others are polled."""
    return RedisBackend(connection, "test:config")


def test_whoever_listens_hears_a_whole_version(telling: ConfigBackend) -> None:
    telling.write(change(1), JOBS, expected=0)
    with telling.subscribe() as subscription:
        telling.write(change(2, "b"), MANY, expected=1)
        telling.write(change(3, "c"), {}, expected=2)
        assert subscription.next(LONGEST) == Values(2, "b", MANY)
        assert subscription.next(LONGEST) == Values(3, "c", {})
        assert subscription.next(0.0) is None


def test_whoever_listens_hears_that_maintenance_began_and_ended(telling: ConfigBackend) -> None:
    with telling.subscribe() as subscription:
        telling.set_maintenance("full", "x", None)
        telling.set_maintenance("full", None, None)
        assert isinstance(subscription.next(LONGEST), Hint)
        assert isinstance(subscription.next(LONGEST), Hint)


def test_what_was_refused_is_not_heard(telling: ConfigBackend) -> None:
    with telling.subscribe() as subscription:
        with pytest.raises(Conflict):
            telling.write(change(2), JOBS, expected=1)
        assert subscription.next(0.0) is None


def test_nothing_is_heard_where_nothing_happens(backend: ConfigBackend) -> None:
    with backend.subscribe() as subscription:
        assert subscription.next(0.0) is None
        assert subscription.next(-1.0) is None

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
from tecken.runtimeconfig.backend import Change, ConfigHead, Hint, Level, Report, Values
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backends.redis import RedisBackend
from tecken.runtimeconfig.process import ConfigBackend

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


@pytest.fixture(params=["file", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> ConfigBackend:
    if request.param == "file":
        return FileBackend(tmp_path / "not" / "there" / "config.json")
    return RedisBackend(request.getfixturevalue("connection"), "test:config")


def test_backend_new_has_version_0(backend: ConfigBackend) -> None:
    assert backend.head() == ConfigHead(0, "", None, None)
    assert backend.read() == Values(0, "", {})
    assert backend.reports() == []


def test_backend_read_returns_written_values(backend: ConfigBackend) -> None:
    backend.write(change(1), MANY, expected=0)
    assert backend.head() == ConfigHead(1, "a", None, None)
    assert backend.read() == Values(1, "a", MANY)


def test_backend_write_replaces_the_whole_version(backend: ConfigBackend) -> None:
    backend.write(change(1), MANY, expected=0)
    backend.write(change(2, "b"), JOBS, expected=1)
    assert backend.read() == Values(2, "b", JOBS)
    backend.write(change(3, "c"), {}, expected=2)
    assert backend.read() == Values(3, "c", {})


def test_backend_write_accepts_a_lower_version(backend: ConfigBackend) -> None:
    backend.write(change(8), MANY, expected=0)
    backend.write(change(5, "b"), JOBS, expected=8)
    assert backend.head()[:2] == (5, "b")


@pytest.mark.parametrize("expected", [0, 2])
def test_backend_write_with_another_expected_version_changes_nothing(
    backend: ConfigBackend, expected: int
) -> None:
    backend.write(change(1), JOBS, expected=0)
    with pytest.raises(Conflict, match=f"has version 1, not {expected}"):
        backend.write(change(9, "z"), MANY, expected=expected)
    assert backend.read() == Values(1, "a", JOBS)


def test_backend_concurrent_writers_have_one_winner(backend: ConfigBackend) -> None:
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


def test_backend_report_replaces_the_one_of_the_same_process(backend: ConfigBackend) -> None:
    first = Report("host:1", "web", 1, "a", 0.5, 0)
    second = Report("host:2", "worker", 1, "a", 0.0, 2)
    backend.report(first)
    backend.report(second)
    backend.report(first._replace(version=2, stamp="b"))
    assert sorted(backend.reports()) == [first._replace(version=2, stamp="b"), second]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", ["", "x", '{"message": "日本"}\nuntil noon'])
def test_backend_maintenance_with_any_text_is_on(backend: ConfigBackend, level: Level, text: str) -> None:
    backend.set_maintenance(level, text, None)
    on = (text, None) if level == "full" else (None, text)
    assert backend.head() == ConfigHead(0, "", *on)
    backend.set_maintenance(level, None, None)
    assert backend.head() == ConfigHead(0, "", None, None)
    backend.set_maintenance(level, None, None)


def test_backend_maintenance_with_an_end_expires(backend: ConfigBackend) -> None:
    now = datetime.now(UTC)
    backend.set_maintenance("full", "x", now + LATER)
    assert backend.head().maintenance == "x"
    backend.set_maintenance("full", "x", now + PAST)
    assert backend.head().maintenance is None
    backend.set_maintenance("full", "y", None)
    assert backend.head().maintenance == "y"


def test_backend_maintenance_keeps_the_values(backend: ConfigBackend) -> None:
    backend.write(change(1), JOBS, expected=0)
    backend.set_maintenance("uploads", "x", None)
    backend.write(change(2, "b"), JOBS, expected=1)
    assert backend.head() == ConfigHead(2, "b", None, "x")


@pytest.fixture
def telling(connection: redis.Redis) -> ConfigBackend:
    """Return the backend that sends messages; the others are polled."""
    return RedisBackend(connection, "test:config")


def test_subscription_receives_a_whole_version(telling: ConfigBackend) -> None:
    telling.write(change(1), JOBS, expected=0)
    with telling.subscribe() as subscription:
        telling.write(change(2, "b"), MANY, expected=1)
        telling.write(change(3, "c"), {}, expected=2)
        assert subscription.next(LONGEST) == Values(2, "b", MANY)
        assert subscription.next(LONGEST) == Values(3, "c", {})
        assert subscription.next(0.0) is None


def test_subscription_receives_begin_and_end_of_maintenance(telling: ConfigBackend) -> None:
    with telling.subscribe() as subscription:
        telling.set_maintenance("full", "x", None)
        telling.set_maintenance("full", None, None)
        assert isinstance(subscription.next(LONGEST), Hint)
        assert isinstance(subscription.next(LONGEST), Hint)


def test_subscription_does_not_receive_a_refused_write(telling: ConfigBackend) -> None:
    with telling.subscribe() as subscription:
        with pytest.raises(Conflict):
            telling.write(change(2), JOBS, expected=1)
        assert subscription.next(0.0) is None


def test_subscription_without_changes_receives_nothing(backend: ConfigBackend) -> None:
    with backend.subscribe() as subscription:
        assert subscription.next(0.0) is None
        assert subscription.next(-1.0) is None

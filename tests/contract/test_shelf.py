"""What every Shelf does."""

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
from tecken.runtimeconfig.file import FileShelf
from tecken.runtimeconfig.memory import MemoryShelf
from tecken.runtimeconfig.redis import RedisShelf
from tecken.runtimeconfig.shelf import Change, Glance, Hint, Level, Report, Shelf, Values

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
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "memory":
        return MemoryShelf()
    if request.param == "file":
        return FileShelf(tmp_path / "not" / "there" / "config.json")
    return RedisShelf(request.getfixturevalue("connection"), "test:config")


def test_nothing_is_there_at_first(shelf: Shelf) -> None:
    assert shelf.glance() == Glance(0, "", None, None)
    assert shelf.read() == Values(0, "", {})
    assert shelf.reports() == []


def test_what_is_written_is_read(shelf: Shelf) -> None:
    shelf.write(change(1), MANY, expected=0)
    assert shelf.glance() == Glance(1, "a", None, None)
    assert shelf.read() == Values(1, "a", MANY)


def test_a_version_replaces_the_whole_of_the_one_before(shelf: Shelf) -> None:
    shelf.write(change(1), MANY, expected=0)
    shelf.write(change(2, "b"), JOBS, expected=1)
    assert shelf.read() == Values(2, "b", JOBS)
    shelf.write(change(3, "c"), {}, expected=2)
    assert shelf.read() == Values(3, "c", {})


def test_a_version_may_be_lower_than_the_one_before(shelf: Shelf) -> None:
    shelf.write(change(8), MANY, expected=0)
    shelf.write(change(5, "b"), JOBS, expected=8)
    assert shelf.glance()[:2] == (5, "b")


@pytest.mark.parametrize("expected", [0, 2])
def test_who_expects_another_version_changes_nothing(shelf: Shelf, expected: int) -> None:
    shelf.write(change(1), JOBS, expected=0)
    with pytest.raises(Conflict, match=f"has version 1, not {expected}"):
        shelf.write(change(9, "z"), MANY, expected=expected)
    assert shelf.read() == Values(1, "a", JOBS)


def test_of_writers_at_once_one_is_first(shelf: Shelf) -> None:
    together, won = Barrier(8), SimpleQueue[str]()

    def write(stamp: str) -> None:
        together.wait()
        try:
            shelf.write(change(1, stamp), {"full_tracing": stamp}, expected=0)
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
    assert shelf.read() == Values(1, stamp, {"full_tracing": stamp})


def test_a_report_is_replaced_by_the_next_of_the_same_process(shelf: Shelf) -> None:
    first = Report("host:1", "web", 1, "a", 0.5, 0)
    second = Report("host:2", "worker", 1, "a", 0.0, 2)
    shelf.report(first)
    shelf.report(second)
    shelf.report(first._replace(version=2, stamp="b"))
    assert sorted(shelf.reports()) == [first._replace(version=2, stamp="b"), second]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", ["", "x", '{"message": "日本"}\nuntil noon'])
def test_maintenance_is_on_whatever_its_text(shelf: Shelf, level: Level, text: str) -> None:
    shelf.set_maintenance(level, text, None)
    on = (text, None) if level == "full" else (None, text)
    assert shelf.glance() == Glance(0, "", *on)
    shelf.set_maintenance(level, None, None)
    assert shelf.glance() == Glance(0, "", None, None)
    shelf.set_maintenance(level, None, None)


def test_maintenance_ends_by_itself(shelf: Shelf) -> None:
    now = datetime.now(UTC)
    shelf.set_maintenance("full", "x", now + LATER)
    assert shelf.glance().maintenance == "x"
    shelf.set_maintenance("full", "x", now + PAST)
    assert shelf.glance().maintenance is None
    shelf.set_maintenance("full", "y", None)
    assert shelf.glance().maintenance == "y"


def test_maintenance_leaves_the_values_alone(shelf: Shelf) -> None:
    shelf.write(change(1), JOBS, expected=0)
    shelf.set_maintenance("uploads", "x", None)
    shelf.write(change(2, "b"), JOBS, expected=1)
    assert shelf.glance() == Glance(2, "b", None, "x")


@pytest.fixture(params=["memory", "redis"])
def telling(request: pytest.FixtureRequest) -> Shelf:
    """A file tells nothing."""
    if request.param == "memory":
        return MemoryShelf()
    return RedisShelf(request.getfixturevalue("connection"), "test:config")


def test_whoever_listens_hears_a_whole_version(telling: Shelf) -> None:
    telling.write(change(1), JOBS, expected=0)
    with telling.listen() as listening:
        telling.write(change(2, "b"), MANY, expected=1)
        telling.write(change(3, "c"), {}, expected=2)
        assert listening.next(LONGEST) == Values(2, "b", MANY)
        assert listening.next(LONGEST) == Values(3, "c", {})
        assert listening.next(0.0) is None


def test_whoever_listens_hears_that_maintenance_began_and_ended(telling: Shelf) -> None:
    with telling.listen() as listening:
        telling.set_maintenance("full", "x", None)
        telling.set_maintenance("full", None, None)
        assert isinstance(listening.next(LONGEST), Hint)
        assert isinstance(listening.next(LONGEST), Hint)


def test_what_was_refused_is_not_heard(telling: Shelf) -> None:
    with telling.listen() as listening:
        with pytest.raises(Conflict):
            telling.write(change(2), JOBS, expected=1)
        assert listening.next(0.0) is None


def test_nothing_is_heard_where_nothing_happens(shelf: Shelf) -> None:
    with shelf.listen() as listening:
        assert listening.next(0.0) is None
        assert listening.next(-1.0) is None

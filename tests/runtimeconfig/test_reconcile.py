"""Reconciliation of database and backend after failures of either of them."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Thread

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.models import Change, Version
from tecken.tasks import reconcile
from tests.runtimeconfig.backends import MemoryBackend, UnreachableBackend, close_connection, put, set_by_hand

pytestmark = pytest.mark.django_db


def change(**changes: str | None) -> service.Outcome:
    return service.change(changes, by="alice", source="cli")


def newest() -> Version:
    found = Version.objects.first()
    assert found is not None
    return found


def settled(backend: MemoryBackend) -> dict[str, str]:
    service.reconcile()
    last = newest()
    assert backend.read() == (last.number, last.stamp, last.values)
    return dict(last.values)


def test_reconcile_without_versions_changes_nothing(backend: MemoryBackend) -> None:
    service.reconcile()
    assert backend.read() == (0, "", {})
    assert not Version.objects.exists()


def test_reconcile_equal_backend_and_database_changes_nothing(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    before = backend.read()
    service.reconcile()
    assert backend.read() == before


def test_reconcile_empty_backend_is_refilled(backend: MemoryBackend) -> None:
    change(log_level="DEBUG", symbolicate_max_jobs="20")
    put(backend, 0, "", {})
    assert settled(backend) == {"log_level": "DEBUG", "symbolicate_max_jobs": "20"}
    assert Version.objects.count() == 1


def test_reconcile_older_backend_is_updated(backend: MemoryBackend) -> None:
    """A failover to a replica without the last change leaves this state."""
    change(log_level="DEBUG")
    older = backend.read()
    change(log_level="ERROR")
    put(backend, *older)
    assert settled(backend) == {"log_level": "ERROR"}


def test_reconcile_task_updates_the_backend(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    put(backend, 0, "", {})
    reconcile()
    assert backend.read().version == 1


def test_reconcile_change_by_hand_becomes_a_version(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    set_by_hand(backend, symbolicate_max_jobs="20")
    assert settled(backend) == {"log_level": "DEBUG", "symbolicate_max_jobs": "20"}
    assert (newest().number, newest().by, newest().source) == (2, "redis-cli", "redis")
    assert list(newest().changes.values_list("entry", "old", "new")) == [("symbolicate_max_jobs", None, "20")]


def test_reconcile_change_in_a_file_has_an_editor_as_author(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    file = FileBackend(path)
    monkeypatch.setattr(current, "backend", lambda: file)
    change(log_level="DEBUG")
    path.write_text(path.read_text().replace("DEBUG", "ERROR"))
    service.reconcile()
    assert file.read() == (2, newest().stamp, {"log_level": "ERROR"})
    assert (newest().by, newest().source) == ("an editor", "file")


def test_reconcile_first_change_by_hand_is_version_1(backend: MemoryBackend) -> None:
    set_by_hand(backend, symbolicate_max_jobs="20")
    assert settled(backend) == {"symbolicate_max_jobs": "20"}
    assert newest().number == 1


def test_reconcile_two_changes_by_hand_become_one_version(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    set_by_hand(backend, symbolicate_max_jobs="20")
    set_by_hand(backend, symbolicate_max_frames="5")
    assert settled(backend) == {
        "log_level": "DEBUG",
        "symbolicate_max_frames": "5",
        "symbolicate_max_jobs": "20",
    }


def test_reconcile_change_by_hand_without_new_version_is_adopted(backend: MemoryBackend) -> None:
    """HSET alone: no process applies it before the next reconciliation."""
    outcome = change(log_level="DEBUG")
    put(backend, 1, outcome.stamp, {"log_level": "ERROR"})
    assert settled(backend) == {"log_level": "ERROR"}
    assert newest().number == 2


def test_reconcile_change_by_hand_on_empty_backend_keeps_other_values(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    put(backend, 0, "", {})
    set_by_hand(backend, symbolicate_max_jobs="20")
    assert settled(backend) == {"log_level": "DEBUG", "symbolicate_max_jobs": "20"}


def test_reconcile_change_by_hand_during_a_change_keeps_both(backend: MemoryBackend) -> None:
    """The change by hand is adopted first, then the other one is recorded."""
    change(log_level="DEBUG")
    set_by_hand(backend, symbolicate_max_jobs="20")
    outcome = change(symbolicate_max_frames="5")
    assert outcome.version == 3
    assert settled(backend) == {
        "log_level": "DEBUG",
        "symbolicate_max_frames": "5",
        "symbolicate_max_jobs": "20",
    }
    assert [version.by for version in Version.objects.all()] == ["alice", "redis-cli", "alice"]


def test_reconcile_removal_by_hand_becomes_a_version(backend: MemoryBackend) -> None:
    change(log_level="DEBUG", symbolicate_max_jobs="20")
    put(backend, 2, "", {"log_level": "DEBUG"})
    assert settled(backend) == {"log_level": "DEBUG"}


def test_reconcile_invalid_text_by_hand_is_recorded_as_ignored(backend: MemoryBackend) -> None:
    set_by_hand(backend, symbolicate_max_jobs="many", log_level="DEBUG")
    assert settled(backend) == {"log_level": "DEBUG", "symbolicate_max_jobs": "many"}
    assert newest().why.startswith("changed by hand; ignored: symbolicate_max_jobs")
    assert change(symbolicate_max_jobs=None).distributed


def test_reconcile_unknown_entry_by_hand_can_be_unset(backend: MemoryBackend) -> None:
    set_by_hand(backend, nosuch="1")
    assert change(nosuch=None).changed == {"nosuch": ("1", None)}


@pytest.mark.parametrize("text", ["a\0b", "\N{REPLACEMENT CHARACTER}", "x" * 20_000, ""])
def test_reconcile_any_text_in_redis_is_adopted(backend: MemoryBackend, text: str) -> None:
    set_by_hand(backend, **{text: "1", "log_level": text})
    assert len(settled(backend)) == 2
    service.reconcile()
    assert Version.objects.count() == 1


def test_reconcile_version_raised_by_hand_adds_no_version(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    set_by_hand(backend)
    assert settled(backend) == {"log_level": "DEBUG"}
    assert Version.objects.count() == 1


def test_reconcile_version_raised_by_hand_without_values_changes_nothing(backend: MemoryBackend) -> None:
    set_by_hand(backend)
    service.reconcile()
    assert not Version.objects.exists()


def test_reconcile_version_lost_by_the_database_is_recorded_again(backend: MemoryBackend) -> None:
    put(backend, 9, "nine", {"log_level": "DEBUG"})
    assert settled(backend) == {"log_level": "DEBUG"}
    assert (newest().number, newest().stamp, newest().by) == (9, "nine", "unknown")


def test_reconcile_lost_version_without_difference_is_recorded(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    put(backend, 9, "nine", {"log_level": "DEBUG"})
    settled(backend)
    assert newest().number == 9


def test_reconcile_same_number_prefers_the_database(backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    put(backend, 1, "another", {"log_level": "ERROR"})
    assert settled(backend) == {"log_level": "DEBUG"}


def test_reconcile_in_many_processes_adopts_once(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others had read the backend before the first one recorded it."""
    change(log_level="DEBUG")
    set_by_hand(backend, symbolicate_max_jobs="20")
    stale = [backend.read()] * 3
    monkeypatch.setattr(backend, "read", lambda: stale.pop() if stale else type(backend).read(backend))
    for _ in range(4):
        service.reconcile()
    assert Change.objects.filter(entry="symbolicate_max_jobs").count() == 1
    assert Version.objects.count() == 2


def test_reconcile_late_adoption_keeps_later_changes(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_by_hand(backend, log_level="DEBUG")
    stale = [backend.read()]
    change(log_level="ERROR")
    monkeypatch.setattr(backend, "read", lambda: stale.pop() if stale else type(backend).read(backend))
    assert settled(backend) == {"log_level": "ERROR"}


@pytest.mark.parametrize(
    "error", [OperationalError("server closed the connection"), ProgrammingError("no table")]
)
def test_reconcile_without_database_is_logged(
    backend: MemoryBackend, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    set_by_hand(backend, log_level="DEBUG")
    with caplog.at_level(logging.WARNING), connection.execute_wrapper(refuse):
        service.reconcile()
    assert "database does not answer" in caplog.text
    assert settled(backend) == {"log_level": "DEBUG"}


def test_reconcile_without_backend_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(current, "backend", UnreachableBackend)
    with caplog.at_level(logging.WARNING):
        service.reconcile()
    assert "redis-cache does not answer" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_reconcile_in_a_thread_closes_its_connection(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = type(connections["default"])
    close, counts, closed = wrapper.close, [], []

    def counted(made: BaseDatabaseWrapper) -> None:
        closed.append(made)
        close(made)

    def watch() -> None:
        service.reconcile()
        counts.append(len(closed))
        connections["default"].ensure_connection()
        service.reconcile()
        counts.append(len(closed))
        close_connection()

    monkeypatch.setattr(wrapper, "close", counted)
    thread = Thread(target=watch)
    thread.start()
    thread.join()
    assert counts == [1, 1]

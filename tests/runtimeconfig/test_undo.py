"""Undo of one version, with what has happened since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tecken.errors import Conflict, InvalidInput, NotFound
from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.snapshot import Entry
from tecken.runtimeconfig.undo import plan_undo, undo
from tests.runtimeconfig.backends import MemoryBackend

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _backend(backend: MemoryBackend) -> None:
    """Use the backend of this test."""


def change(**changes: str | None) -> int:
    return service.change(changes, by="alice", source="cli").version


def test_undo_restores_old_values_and_keeps_later_versions() -> None:
    change(symbolicate_max_jobs="20")
    number = change(symbolicate_max_jobs="30", log_level="DEBUG")
    change(upload_max_members="5")
    outcome = undo(number, by="bob", source="cli")
    assert outcome.changed == {"log_level": ("DEBUG", None), "symbolicate_max_jobs": ("30", "20")}
    assert service.newest().values == {"symbolicate_max_jobs": "20", "upload_max_members": "5"}
    assert service.newest().why == f"undo of version {number}"


def test_undo_of_an_undo_restores_the_change() -> None:
    number = change(symbolicate_max_jobs="20")
    undone = undo(number, by="bob", source="cli")
    undo(undone.version, by="bob", source="cli")
    assert service.newest().values == {"symbolicate_max_jobs": "20"}


def test_undo_twice_changes_nothing_the_second_time() -> None:
    number = change(symbolicate_max_jobs="20")
    undo(number, by="bob", source="cli")
    assert undo(number, by="bob", source="cli").changed == {}
    assert service.newest().number == number + 1


def test_undo_of_a_change_that_is_set_again_to_the_same_text_restores() -> None:
    number = change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30")
    change(symbolicate_max_jobs="20")
    assert undo(number, by="bob", source="cli").changed == {"symbolicate_max_jobs": ("20", None)}


def test_undo_of_an_option_changed_again_is_refused_with_its_name() -> None:
    number = change(symbolicate_max_jobs="20", log_level="DEBUG")
    change(symbolicate_max_jobs="30")
    with pytest.raises(Conflict, match=rf"^symbolicate_max_jobs: changed again after version {number}\."):
        undo(number, by="bob", source="cli")
    assert service.newest().number == number + 1


def test_undo_adds_and_removes_windows_to_come() -> None:
    key = Entry("symbolicate_max_jobs", *(datetime.now(UTC) + timedelta(hours=hours) for hours in (1, 2))).key
    number = change(**{key: "3"})
    undone = undo(number, by="bob", source="cli")
    assert service.newest().values == {}
    undo(undone.version, by="bob", source="cli")
    assert service.newest().values == {key: "3"}


@pytest.mark.parametrize(("old", "new"), [("3", None), (None, "3")])
def test_plan_of_a_window_that_has_passed_leaves_it_out(old: str | None, new: str | None) -> None:
    key = "symbolicate_max_jobs@2026-11-30T10:00:00Z/2026-11-30T12:00:00Z"
    version = recorded(key, old, new)
    texts = service.merge({}, {key: new})
    assert plan_undo(version, texts, NOW).left_out == {key: "its time has passed"}
    assert plan_undo(version, texts, NOW - timedelta(seconds=1)).changes == {key: (new, old)}


@pytest.mark.parametrize(
    ("entry", "old", "reason"),
    [
        ("renamed_max_jobs", "20", "there is no option 'renamed_max_jobs'"),
        ("symbolicate_max_jobs", "0", "symbolicate_max_jobs should be a whole number"),
        ("symbolicate_max_jobs@never", "20", "a window should be START/END"),
    ],
)
def test_plan_of_a_text_that_is_no_longer_valid_leaves_it_out(entry: str, old: str, reason: str) -> None:
    plan = plan_undo(recorded(entry, old, None), {}, NOW)
    assert (plan.changes, plan.later) == ({}, {})
    assert reason in plan.left_out[entry]


@pytest.mark.parametrize("entry", ["renamed_max_jobs", "symbolicate_max_jobs@never"])
def test_undo_removes_an_unusable_entry_that_the_version_added(entry: str) -> None:
    recorded(entry, None, "20")
    assert undo(1, by="bob", source="cli").changed == {entry: ("20", None)}


def test_undo_without_a_usable_entry_is_refused_with_the_reason() -> None:
    recorded("renamed_max_jobs", "20", None)
    with pytest.raises(
        InvalidInput, match=r"^version 1 cannot be undone: renamed_max_jobs: there is no option"
    ):
        undo(1, by="bob", source="cli")


def test_undo_of_an_older_version_than_seen_is_refused() -> None:
    number = change(symbolicate_max_jobs="20")
    change(log_level="DEBUG")
    with pytest.raises(Conflict, match="the newest version is 2, not 1"):
        undo(number, expected=1, by="bob", source="cli")


def test_undo_of_an_unknown_version_raises() -> None:
    with pytest.raises(NotFound):
        undo(7, by="bob", source="cli")


def recorded(entry: str, old: str | None, new: str | None) -> Version:
    """Return a version with one change, as another release or redis-cli made it."""
    version = Version.objects.create(number=1, stamp="a", values=service.merge({}, {entry: new}))
    version.changes.create(entry=entry, old=old, new=new)
    return version

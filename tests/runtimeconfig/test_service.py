from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from tecken.errors import BadOption, Conflict, InvalidInput, NotFound, Unavailable
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Report, parse_maintenance
from tecken.runtimeconfig.models import Change, Version
from tecken.runtimeconfig.service import Author, Texts, append
from tests.runtimeconfig.backends import MemoryBackend, UnreachableBackend, close_connection

pytestmark = pytest.mark.django_db


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> UnreachableBackend:
    mine = UnreachableBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine


def change(expected: int | None = None, /, **changes: str | None) -> service.Outcome:
    return service.change(changes, by="alice", source="cli", expected=expected)


def test_change_writes_a_version_to_database_and_backend(backend: MemoryBackend) -> None:
    outcome = change(symbolicate_max_jobs="20", log_level="DEBUG")
    assert outcome.version == 1
    assert outcome.changed == {"log_level": (None, "DEBUG"), "symbolicate_max_jobs": (None, "20")}
    assert outcome.distributed
    version = Version.objects.get()
    assert (version.number, version.stamp) == (1, outcome.stamp)
    assert backend.read() == (1, outcome.stamp, {"log_level": "DEBUG", "symbolicate_max_jobs": "20"})
    assert backend.read().texts == version.values


def test_change_records_author_time_reason_and_source(backend: MemoryBackend) -> None:
    user = User.objects.create_user("a@example.com", "a@example.com")
    before = datetime.now(UTC)
    service.change(
        {"symbolicate_max_jobs": "20"}, by="a@example.com", user=user, why="a crash storm", source="page"
    )
    version = Version.objects.get()
    assert (version.by, version.user, version.why, version.source) == (
        "a@example.com",
        user,
        "a crash storm",
        "page",
    )
    assert before <= version.at <= datetime.now(UTC)
    user.delete()
    assert Version.objects.get().by == "a@example.com"


def test_change_to_unset_removes_the_entry(backend: MemoryBackend) -> None:
    change(symbolicate_max_jobs="20")
    assert change(symbolicate_max_jobs=None).changed == {"symbolicate_max_jobs": ("20", None)}
    assert backend.read().texts == {}


def test_change_without_difference_adds_no_version(backend: MemoryBackend) -> None:
    first = change(symbolicate_max_jobs="20")
    same = change(symbolicate_max_jobs="20", log_level=None)
    assert (same.version, same.stamp, same.changed) == (1, first.stamp, {})
    assert Version.objects.count() == 1


def test_change_with_a_long_reason_is_refused(backend: MemoryBackend) -> None:
    with pytest.raises(InvalidInput, match=r"a reason should have at most 2000 characters, not 2001"):
        service.change({"symbolicate_max_jobs": "20"}, by="alice", source="cli", why="x" * 2001)
    assert not Version.objects.exists()


def test_change_with_problems_names_all_and_stores_nothing(backend: MemoryBackend) -> None:
    with pytest.raises(BadOption) as caught:
        change(symbolicate_max_jobs="0", log_level="LOUD", upload_max_members="5", nosuch=None)
    problems = str(caught.value).splitlines()
    assert [problem for problem in problems if "symbolicate_max_jobs" in problem]
    assert [problem for problem in problems if "log_level" in problem]
    assert [problem for problem in problems if "nosuch" in problem]
    assert len(problems) == 3
    assert not Version.objects.exists()
    assert backend.read().version == 0


def test_change_with_unstorable_characters_is_refused(backend: MemoryBackend) -> None:
    """An argument of a command that is not UTF-8 has lone surrogates."""
    with pytest.raises(BadOption, match=r"sources_off should be .* that a database cannot store"):
        change(sources_off="\udcff")
    for why in ("\udcff", "\0"):
        with pytest.raises(InvalidInput, match="that a database cannot store"):
            service.change({"log_level": "DEBUG"}, by="alice", why=why, source="cli")
    assert not Version.objects.exists()


def test_change_of_a_window_normalizes_its_key(backend: MemoryBackend) -> None:
    change(**{"symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z": "20"})
    change(**{"symbolicate_max_jobs@2026-11-21T23:00:00+01:00/2026-11-22T00:00:00+01:00": "30"})
    assert backend.read().texts == {"symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z": "30"}


def test_change_of_an_old_version_raises_conflict_with_author_and_entries(backend: MemoryBackend) -> None:
    change(symbolicate_max_jobs="20")
    with pytest.raises(
        Conflict, match=r"version is 1, not 0, by alice \(cli\) at .* UTC: symbolicate_max_jobs"
    ):
        change(0, log_level="DEBUG")
    assert change(1, log_level="DEBUG").version == 2


def test_change_at_the_same_moment_as_another_raises_conflict(backend: MemoryBackend) -> None:
    def slow(_texts: Texts) -> Texts:
        Version.objects.create(number=1, stamp="rival")
        return {"log_level": "DEBUG"}

    with pytest.raises(Conflict):
        append(Author(by="alice", source="cli"), slow)


@pytest.mark.django_db(transaction=True)
def test_change_by_many_writers_gives_one_order(backend: MemoryBackend) -> None:
    writers = 6
    barrier, refused = Barrier(writers), []

    def write(number: int) -> None:
        barrier.wait()
        try:
            change(symbolicate_max_jobs=str(number + 1))
        # Unavailable, because SQLite in memory does not wait for a lock.
        except (Conflict, Unavailable) as error:
            refused.append(error)
        finally:
            close_connection()

    threads = [Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = list(Version.objects.order_by("number"))
    assert [version.number for version in versions] == list(range(1, writers - len(refused) + 1))
    steps = list(Change.objects.order_by("version__number").values_list("old", "new"))
    assert [old for old, _ in steps[1:]] == [new for _, new in steps[:-1]]
    service.reconcile()
    assert backend.read() == (versions[-1].number, versions[-1].stamp, versions[-1].values)


@pytest.mark.django_db(transaction=True)
def test_change_in_an_open_transaction_raises(backend: MemoryBackend) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        change(symbolicate_max_jobs="20")
    assert backend.read().version == 0


def test_change_without_backend_is_delivered_later(away: UnreachableBackend) -> None:
    outcome = change(symbolicate_max_jobs="20")
    assert not outcome.distributed
    assert Version.objects.get().values == {"symbolicate_max_jobs": "20"}
    away.away = False
    service.reconcile()
    assert away.read() == (1, outcome.stamp, {"symbolicate_max_jobs": "20"})


def test_change_repeated_delivers_it(away: UnreachableBackend) -> None:
    change(symbolicate_max_jobs="20")
    away.away = False
    assert change(symbolicate_max_jobs="20").distributed
    assert away.read().version == 1


def test_rollback_adds_a_version_with_the_old_values(backend: MemoryBackend) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30", log_level="DEBUG")
    outcome = service.rollback(1, by="bob")
    assert outcome.version == 3
    assert outcome.changed == {"log_level": ("DEBUG", None), "symbolicate_max_jobs": ("30", "20")}
    assert backend.read().texts == {"symbolicate_max_jobs": "20"}
    version = Version.objects.first()
    assert version is not None
    assert (version.by, version.source, version.why) == ("bob", "rollback", "back to version 1")
    assert service.rollback(0, by="bob").changed == {"symbolicate_max_jobs": ("20", None)}


def test_rollback_omits_unusable_entries(backend: MemoryBackend) -> None:
    Version.objects.create(number=1, stamp="a", values={"long_gone": "1", "log_level": "DEBUG"})
    change(log_level="ERROR", long_gone=None)
    assert service.rollback(1, by="bob").changed == {"log_level": ("ERROR", "DEBUG")}


def test_rollback_to_an_unknown_version_raises(backend: MemoryBackend) -> None:
    with pytest.raises(NotFound, match="no version 7; the newest is 0"):
        service.rollback(7, by="bob")


def test_replace_unsets_all_other_entries(backend: MemoryBackend) -> None:
    change(symbolicate_max_jobs="20", log_level="DEBUG")
    outcome = service.replace({"log_level": "ERROR", "symbolicate_max_frames": "5"}, by="bob")
    assert outcome.changed == {
        "log_level": ("DEBUG", "ERROR"),
        "symbolicate_max_frames": (None, "5"),
        "symbolicate_max_jobs": ("20", None),
    }
    with pytest.raises(BadOption, match="nosuch"):
        service.replace({"nosuch": "1"}, by="bob")
    assert backend.read().version == 2


def report(process: str, version: int, stamp: str, kind: str = "web") -> Report:
    return Report(process, kind, version, stamp, 0.1, 0)


def outcome(version: int, stamp: str) -> service.Outcome:
    return service.Outcome(version, stamp, {}, distributed=True, sent_at=time.monotonic())


def test_wait_for_rollout_ends_when_every_process_has_it(backend: MemoryBackend) -> None:
    backend.report(report("a:1", 8, "s"))
    backend.report(report("a:2", 7, "r"))
    backend.report(report("a:3", 7, "r", kind="command"))
    sent = outcome(8, "s")
    first = service.wait_for_rollout(sent, 0)
    assert (first.applied, first.processes, first.waiting) == (1, 2, ["a:2"])
    # A newer version includes version 8.
    backend.report(report("a:2", 9, "t"))
    last = service.wait_for_rollout(sent, 60)
    assert (last.applied, last.processes, last.waiting) == (2, 2, [])
    assert last.elapsed > first.elapsed


def test_wait_for_rollout_elapsed_counts_from_the_write(backend: MemoryBackend) -> None:
    before = time.monotonic()
    sent = change(log_level="DEBUG")
    assert before < sent.sent_at < time.monotonic()
    assert service.wait_for_rollout(sent._replace(sent_at=sent.sent_at - 100), 60).elapsed > 100


def test_wait_for_rollout_ends_after_its_seconds(backend: MemoryBackend) -> None:
    # The stamp is of a database that was lost.
    backend.report(report("a:1", 8, "other"))
    assert service.wait_for_rollout(outcome(8, "s"), 0).waiting == ["a:1"]


def test_begin_maintenance_needs_no_database(backend: MemoryBackend) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    with connection.execute_wrapper(_refused):
        service.begin_maintenance("full", "New disks.", 30, until, "alice")
        text = backend.head().maintenance
        service.end_maintenance("full")
    assert text is not None
    maintenance = parse_maintenance(text)
    assert (maintenance.message, maintenance.retry_after) == ("New disks.", 30)
    assert (maintenance.until, maintenance.by) == (until, "alice")
    assert maintenance.since is not None
    assert backend.head().maintenance is None


def _refused(*_: object) -> None:
    raise AssertionError("the database was asked")


def test_begin_maintenance_levels_are_independent(backend: MemoryBackend) -> None:
    service.begin_maintenance("uploads", "", None, None, "alice")
    assert (backend.head().maintenance, backend.head().uploads_closed is None) == (None, False)


def test_begin_maintenance_with_an_end_in_the_past_is_refused(backend: MemoryBackend) -> None:
    with pytest.raises(InvalidInput, match="in the future, not at 2020-01-01 00:00:00 UTC"):
        service.begin_maintenance("full", "", None, datetime(2020, 1, 1, tzinfo=UTC), "alice")
    assert backend.head().maintenance is None


def test_begin_maintenance_without_backend_raises(away: UnreachableBackend) -> None:
    with pytest.raises(Unavailable):
        service.begin_maintenance("full", "", None, None, "alice")

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from tecken.errors import Absent, BadInput, BadOption, Conflict, CouldNotAsk
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Report
from tecken.runtimeconfig.backends.memory import MemoryBackend
from tecken.runtimeconfig.history import Author, Texts, append
from tecken.runtimeconfig.maintenance import parse_maintenance
from tecken.runtimeconfig.models import Change, Version
from tests.runtimeconfig.backends import UnreachableBackend, close_connection

pytestmark = pytest.mark.django_db


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> UnreachableBackend:
    mine = UnreachableBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine


def change(expected: int | None = None, /, **changes: str | None) -> service.Outcome:
    return service.change(changes, by="alice", source="cli", expected=expected)


def test_a_change_is_a_version_in_both_places(backend: MemoryBackend) -> None:
    outcome = change(symbolicate_max_jobs="20", log_level="DEBUG")
    assert outcome.version == 1
    assert outcome.changed == {"log_level": (None, "DEBUG"), "symbolicate_max_jobs": (None, "20")}
    assert outcome.distributed
    version = Version.objects.get()
    assert (version.number, version.stamp) == (1, outcome.stamp)
    assert backend.read() == (1, outcome.stamp, {"log_level": "DEBUG", "symbolicate_max_jobs": "20"})
    assert backend.read().texts == version.values


def test_who_when_why_and_from_where(backend: MemoryBackend) -> None:
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


def test_unset_is_not_the_default_written(backend: MemoryBackend) -> None:
    change(symbolicate_max_jobs="20")
    assert change(symbolicate_max_jobs=None).changed == {"symbolicate_max_jobs": ("20", None)}
    assert backend.read().texts == {}


def test_nothing_to_change_is_no_version(backend: MemoryBackend) -> None:
    first = change(symbolicate_max_jobs="20")
    same = change(symbolicate_max_jobs="20", log_level=None)
    assert (same.version, same.stamp, same.changed) == (1, first.stamp, {})
    assert Version.objects.count() == 1


def test_a_reason_that_is_too_long(backend: MemoryBackend) -> None:
    with pytest.raises(BadInput, match=r"a reason should have at most 2000 characters, not 2001"):
        service.change({"symbolicate_max_jobs": "20"}, by="alice", source="cli", why="x" * 2001)
    assert not Version.objects.exists()


def test_every_problem_at_once_and_nothing_stored(backend: MemoryBackend) -> None:
    with pytest.raises(BadOption) as caught:
        change(symbolicate_max_jobs="0", log_level="LOUD", upload_max_members="5", nosuch=None)
    problems = str(caught.value).splitlines()
    assert [problem for problem in problems if "symbolicate_max_jobs" in problem]
    assert [problem for problem in problems if "log_level" in problem]
    assert [problem for problem in problems if "nosuch" in problem]
    assert len(problems) == 3
    assert not Version.objects.exists()
    assert backend.read().version == 0


def test_what_no_database_keeps(backend: MemoryBackend) -> None:
    """An argument that is not UTF-8."""
    with pytest.raises(BadOption, match=r"sources_off should be .* that a database cannot store"):
        change(sources_off="\udcff")
    for why in ("\udcff", "\0"):
        with pytest.raises(BadInput, match="that a database cannot store"):
            service.change({"log_level": "DEBUG"}, by="alice", why=why, source="cli")
    assert not Version.objects.exists()


def test_one_window_however_it_is_written(backend: MemoryBackend) -> None:
    change(**{"symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z": "20"})
    change(**{"symbolicate_max_jobs@2026-11-21T23:00:00+01:00/2026-11-22T00:00:00+01:00": "30"})
    assert backend.read().texts == {"symbolicate_max_jobs@2026-11-21T22:00:00Z/2026-11-21T23:00:00Z": "30"}


def test_a_conflict_says_who_when_and_what(backend: MemoryBackend) -> None:
    change(symbolicate_max_jobs="20")
    with pytest.raises(
        Conflict, match=r"version is 1, not 0, by alice \(cli\) at .* UTC: symbolicate_max_jobs"
    ):
        change(0, log_level="DEBUG")
    assert change(1, log_level="DEBUG").version == 2


def test_the_second_of_two_at_the_same_moment_is_told(backend: MemoryBackend) -> None:
    def slow(_texts: Texts) -> Texts:
        Version.objects.create(number=1, stamp="rival")
        return {"log_level": "DEBUG"}

    with pytest.raises(Conflict):
        append(Author(by="alice", source="cli"), slow)


@pytest.mark.django_db(transaction=True)
def test_many_writers_at_once_make_one_order(backend: MemoryBackend) -> None:
    writers = 6
    barrier, refused = Barrier(writers), []

    def write(number: int) -> None:
        barrier.wait()
        try:
            change(symbolicate_max_jobs=str(number + 1))
        except (Conflict, CouldNotAsk) as error:  # SQLite in memory does not wait for a lock
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
def test_a_change_in_an_open_transaction_could_still_be_taken_back(backend: MemoryBackend) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        change(symbolicate_max_jobs="20")
    assert backend.read().version == 0


def test_a_backend_that_is_away_gets_it_later(away: UnreachableBackend) -> None:
    outcome = change(symbolicate_max_jobs="20")
    assert not outcome.distributed
    assert Version.objects.get().values == {"symbolicate_max_jobs": "20"}
    away.away = False
    service.reconcile()
    assert away.read() == (1, outcome.stamp, {"symbolicate_max_jobs": "20"})


def test_the_same_change_again_delivers_it(away: UnreachableBackend) -> None:
    change(symbolicate_max_jobs="20")
    away.away = False
    assert change(symbolicate_max_jobs="20").distributed
    assert away.read().version == 1


def test_rollback_is_a_new_version_with_the_old_values(backend: MemoryBackend) -> None:
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


def test_rollback_leaves_out_what_the_code_cannot_use(backend: MemoryBackend) -> None:
    Version.objects.create(number=1, stamp="a", values={"long_gone": "1", "log_level": "DEBUG"})
    change(log_level="ERROR", long_gone=None)
    assert service.rollback(1, by="bob").changed == {"log_level": ("ERROR", "DEBUG")}


def test_there_is_no_way_back_to_a_version_that_never_was(backend: MemoryBackend) -> None:
    with pytest.raises(Absent, match="no version 7; the newest is 0"):
        service.rollback(7, by="bob")


def test_replace_is_all_that_is_set(backend: MemoryBackend) -> None:
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


def test_applied_ends_when_every_process_has_it(backend: MemoryBackend) -> None:
    backend.report(report("a:1", 8, "s"))
    backend.report(report("a:2", 7, "r"))
    backend.report(report("a:3", 7, "r", kind="command"))
    spreads = service.follow_rollout(8, "s", 60)
    first = next(spreads)
    assert (first.applied, first.processes, first.waiting) == (1, 2, ["a:2"])
    backend.report(report("a:2", 9, "t"))  # a newer version includes 8
    last = next(spreads)
    assert (last.applied, last.processes, last.waiting) == (2, 2, [])
    assert list(spreads) == []
    assert last.elapsed > first.elapsed


def test_elapsed_counts_from_when_the_backend_was_told(backend: MemoryBackend) -> None:
    before = time.monotonic()
    outcome = change(log_level="DEBUG")
    assert before < outcome.sent_at < time.monotonic()
    (spread,) = service.follow_rollout(outcome.version, outcome.stamp, 60, outcome.sent_at - 100)
    assert spread.elapsed > 100


def test_applied_ends_when_time_is_up(backend: MemoryBackend) -> None:
    backend.report(report("a:1", 8, "other"))  # of a database that was lost
    assert [spread.waiting for spread in service.follow_rollout(8, "s", 0)] == [["a:1"]]


def test_maintenance_needs_no_database(backend: MemoryBackend) -> None:
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


def test_levels_are_apart(backend: MemoryBackend) -> None:
    service.begin_maintenance("uploads", "", None, None, "alice")
    assert (backend.head().maintenance, backend.head().uploads_closed is None) == (None, False)


def test_maintenance_does_not_end_in_the_past(backend: MemoryBackend) -> None:
    with pytest.raises(BadInput, match="in the future, not at 2020-01-01 00:00:00 UTC"):
        service.begin_maintenance("full", "", None, datetime(2020, 1, 1, tzinfo=UTC), "alice")
    assert backend.head().maintenance is None


def test_maintenance_without_a_backend_is_an_error(away: UnreachableBackend) -> None:
    with pytest.raises(CouldNotAsk):
        service.begin_maintenance("full", "", None, None, "alice")

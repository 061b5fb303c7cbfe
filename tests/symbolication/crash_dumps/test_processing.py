"""Jobs of dumps that run twice, end with their process, or find a server that does not answer."""

from __future__ import annotations

import io
import os
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
from celery.exceptions import Retry
from django.utils import timezone
from pytest_django import Settings

from tecken import services
from tecken.download.models import MissingSymbol
from tecken.errors import Malformed, NotFound, Unavailable
from tecken.jobs.records import records
from tecken.redisclient.services import cache_client
from tecken.symbolication.crash_dumps import retention
from tecken.symbolication.crash_dumps.retention import RemovedDumps
from tecken.symbolication.crash_dumps.services import dump_desk, dump_files, dump_tracker
from tecken.symbolication.crash_dumps.submission import make_id
from tecken.symbolication.crash_dumps.tracker import ALL, TrackedDump
from tecken.symbolication.tasks import DUMP_TRIES_AGAIN, process_minidump
from tecken.tasks import write_misses
from tests.support.options import Override
from tests.symbolication.crash_dumps.jobs import CRASH_C, crash_dump, sent_jobs

pytest_plugins = ["tests.symbolication.sample_source"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def dump_id(sample_source: None) -> str:
    return dump_desk().submit(io.BytesIO(crash_dump()), "client")


def stored() -> list[str]:
    return sorted(part.kind for part in dump_files().entries())


def break_storage(settings: Settings, tmp_path: Path) -> None:
    """Have another storage, in which nothing can be written or read."""
    (tmp_path / "file").write_text("")
    settings.STORAGE_URL = f"file://{tmp_path}/file"
    services.discard_all()


def test_job_converts_cold_modules_itself(dump_id: str) -> None:
    process_minidump(dump_id)
    status = dump_desk().fetch(dump_id)
    report = orjson.loads(status.report)
    assert report["modules"][0]["symbols"] == "loaded"
    assert report["threads"][0]["frames"][0]["function"] == "by_price"
    assert (stored(), cache_client().zcard(ALL)) == (["json.zst"], 0)


def test_second_run_of_a_job_changes_nothing(dump_id: str) -> None:
    process_minidump(dump_id)
    first = dump_desk().fetch(dump_id)
    process_minidump(dump_id)
    assert dump_desk().fetch(dump_id) == first


def test_job_of_a_dump_that_was_removed_does_nothing(dump_id: str) -> None:
    dump_files().delete(dump_id, "dmp")
    process_minidump(dump_id)
    with pytest.raises(NotFound):
        dump_desk().fetch("0" * 32)
    assert stored() == []


def test_job_that_ended_with_its_process_twice_has_failed(dump_id: str) -> None:
    for _ in range(2):
        dump_tracker().begin(dump_id)
    process_minidump(dump_id)
    status = dump_desk().fetch(dump_id)
    assert (status.state, status.error) == ("failed", "its processing ended with its process 2 times")
    with pytest.raises(Unavailable):
        status.raise_if_failed()
    assert stored() == []


def test_job_after_an_attempt_that_ended_with_its_process_is_done(dump_id: str) -> None:
    dump_tracker().begin(dump_id)
    process_minidump(dump_id)
    assert dump_desk().fetch(dump_id).state == "done"


def test_job_without_storage_is_retried_and_does_not_count(
    dump_id: str, settings: Settings, tmp_path: Path
) -> None:
    before = settings.STORAGE_URL
    break_storage(settings, tmp_path)
    for _ in range(3):
        with pytest.raises(Retry):
            process_minidump.apply(args=[dump_id], throw=True)
    assert dump_desk().fetch(dump_id).state == "waiting"
    settings.STORAGE_URL = before
    services.discard_all()
    process_minidump(dump_id)
    assert dump_desk().fetch(dump_id).state == "done"
    assert records().letters() == []


def test_job_without_storage_has_failed_after_its_last_try(
    dump_id: str, settings: Settings, tmp_path: Path
) -> None:
    before = settings.STORAGE_URL
    break_storage(settings, tmp_path)
    with pytest.raises(Unavailable):
        # The dump cannot be deleted, either.
        process_minidump.apply(args=[dump_id], retries=DUMP_TRIES_AGAIN, throw=True)
    settings.STORAGE_URL = before
    services.discard_all()
    status = dump_desk().fetch(dump_id)
    assert status.state == "failed"
    assert str(tmp_path) not in status.error


def test_id_that_was_never_given_out_costs_no_look(
    sample_source: None, settings: Settings, tmp_path: Path
) -> None:
    given = make_id()
    forged = f"{given[:-1]}{'0' if given[-1] != '0' else '1'}"
    break_storage(settings, tmp_path)
    with pytest.raises(Unavailable):
        dump_desk().fetch(given)
    for unknown in (forged, "0" * 32, given.upper() + "\n", ""):
        with pytest.raises(NotFound):
            dump_desk().fetch(unknown)


def test_kept_dump_without_a_report_is_unknown_after_its_job_has_expired(
    dump_id: str, tmp_path: Path
) -> None:
    cache_client().flushdb()
    assert dump_desk().fetch(dump_id).state == "waiting"
    age(tmp_path / f"minidumps/{dump_id}.dmp", 3601, timezone.now())
    with pytest.raises(NotFound):
        dump_desk().fetch(dump_id)


def test_error_of_a_dump_is_raised_as_its_class(dump_id: str) -> None:
    dump_tracker().finish(dump_id, TrackedDump("failed", "Malformed", "no threads"))
    with pytest.raises(Malformed, match="no threads"):
        dump_desk().fetch(dump_id).raise_if_failed()


def test_absent_modules_are_counted_as_missing(sample_source: None, settings: Settings) -> None:
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    process_minidump(dump_desk().submit(io.BytesIO(crash_dump()), "client"))
    write_misses()
    (missing,) = MissingSymbol.objects.values_list("debug_file", "debug_id", "count")
    assert missing == (*CRASH_C, 1)


# Retention


def age(path: Path, seconds: float, now: datetime) -> None:
    then = now - timedelta(seconds=seconds)
    os.utime(path, (then.timestamp(), then.timestamp()))


def test_old_dumps_and_reports_are_removed(dump_id: str, tmp_path: Path, runtime_options: Override) -> None:
    runtime_options(minidump_keep_seconds=60)
    process_minidump(dump_desk().submit(io.BytesIO(crash_dump()), "client"))
    (dump,), (report,) = tmp_path.glob("minidumps/*.dmp"), tmp_path.glob("minidumps/*.zst")
    (dump.parent / "other").write_text("not ours")
    now = timezone.now()
    assert retention.remove_old(now) == RemovedDumps()
    age(report, 61, now)
    size = report.stat().st_size
    assert retention.remove_old(now, dry_run=True) == RemovedDumps(0, 1, size)
    assert retention.remove_old(now) == RemovedDumps(0, 1, size)
    age(dump, 3599, now)
    assert retention.remove_old(now) == RemovedDumps()
    age(dump, 3601, now)
    assert retention.remove_old(now) == RemovedDumps(1, 0, len(crash_dump()))
    assert [path.name for path in dump.parent.iterdir()] == ["other"]


def test_kept_dumps_are_removed_after_days(dump_id: str, tmp_path: Path, runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True, keep_minidump_days=2)
    (dump,) = tmp_path.glob("minidumps/*.dmp")
    now = timezone.now()
    age(dump, 86_400 * 2 - 60, now)
    assert retention.remove_old(now) == RemovedDumps()
    age(dump, 86_400 * 2 + 60, now)
    assert retention.remove_old(now).dumps == 1


def test_job_is_sent_before_all_others(dump_id: str) -> None:
    assert sent_jobs() == [dump_id]

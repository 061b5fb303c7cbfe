"""Checks of parts that work, and of parts that do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

import tecken.celery  # noqa: F401 - jobs are sent by the current app
from tecken.doctor import fleet, servers
from tecken.doctor.public_url import FORGED_ADDRESS, check_proxies, check_site, check_tls, count_proxies
from tecken.doctor.report import check_url
from tecken.doctor.round_trip import DEBUG_FILE, check_round_trip, remove_stale_files
from tecken.doctor.visitor import ADDRESS, temporary_token
from tecken.errors import InvalidInput
from tecken.jobs.records import DeadLetter, records
from tecken.storage.models import SymbolFile
from tecken.upload.models import Upload
from tests.monitoring.health.conftest import move, patient, redis_cache, worker
from tests.support.options import Override
from tests.support.redis_server import RedisServer

pytest_plugins = ["tests.upload.site"]
__all__ = ["move", "patient", "redis_cache", "worker"]  # fixtures
pytestmark = pytest.mark.django_db


# Servers


def test_database_with_all_migrations_is_ok() -> None:
    finding = servers.check_database()
    assert finding.level == "ok"
    assert "accepts writes" in finding.text


def test_database_without_a_migration_fails_with_the_command() -> None:
    MigrationRecorder(connection).record_unapplied("download", "0001_initial")
    finding = servers.check_database()
    assert finding.level == "failed"
    assert finding.text == "1 migrations are not applied, first download.0001_initial."
    assert "manage.py migrate" in finding.next


def test_database_of_a_newer_release_warns() -> None:
    MigrationRecorder(connection).record_applied("download", "9999_future")
    assert servers.check_database().level == "warning"


def test_storage_leaves_no_probe(tmp_path: Path, settings: Settings) -> None:
    settings.STORAGE_URL = tmp_path.as_uri()
    assert servers.check_storage().level == "ok"
    assert list(tmp_path.rglob("*")) == []


def test_storage_that_is_a_file_fails(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("")
    settings.STORAGE_URL = (tmp_path / "file").as_uri()
    finding = servers.check_storage()
    assert finding.level == "failed"
    assert "STORAGE_URL" in finding.next


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, "ok"), (1.5, "ok"), (30, "warning"), (-30, "warning"), (3600, "failed")]
)
def test_clock_of_the_site_is_compared(seconds: float, level: str) -> None:
    finding = servers.check_clock(lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    assert finding.level == level


def test_preflight_reports_a_server_that_is_down(settings: Settings, redis_cache: RedisServer) -> None:
    settings.REDIS_URL = redis_cache.url
    redis_cache.stop()
    finding = servers.Preflight().check("redis-cache")
    assert finding.level == "failed"
    assert finding.transient
    assert "REDIS_URL" in finding.next
    assert servers.Preflight().check("redis-store").level == "ok"


# Workers


def test_workers_without_a_worker_fail(patient: None) -> None:
    assert fleet.check_workers(in_site=False).next == fleet.START_WORKER


@pytest.mark.usefixtures("patient", "worker")
def test_workers_with_dead_letters_warn() -> None:
    assert fleet.check_workers(in_site=False).level == "ok"
    records().store_letter(DeadLetter("1", "task", "upload", "OSError", died=0.0))
    assert fleet.check_workers(in_site=False).level == "warning"


@pytest.mark.usefixtures("patient", "worker")
def test_versions_that_differ_warn() -> None:
    finding = fleet.check_versions(lambda: {"0.9.0"})
    assert finding.level == "warning"
    assert "worker celery@here: an older release" in finding.text
    assert "the web server: 0.9.0" in finding.text


def test_beat_that_does_not_run_fails(patient: None) -> None:
    assert fleet.check_beat(in_site=False).next == fleet.START_BEAT


def test_demo_seen_from_a_command_skips_its_queue(settings: Settings) -> None:
    settings.DEMO_MODE = True
    assert fleet.check_workers(in_site=False).level == "skipped"
    assert fleet.check_beat(in_site=False).level == "skipped"
    assert check_round_trip("", in_site=False).level == "skipped"
    assert servers.Preflight().check("redis-store").level == "skipped"


# Public URL


def test_url_unknown_skips_what_needs_it() -> None:
    assert {check("").level for check in (check_site, check_proxies, check_tls)} == {"skipped"}


@pytest.mark.parametrize("url", ["symbols.example.com", "ftp://host", "https://host/path", "https://"])
def test_url_malformed_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="without a path"):
        check_url(url)


@pytest.mark.parametrize(
    ("addresses", "number"),
    [
        ([], 0),
        ([FORGED_ADDRESS], 0),
        ([FORGED_ADDRESS, "10.0.0.1"], 1),
        ([FORGED_ADDRESS, "10.0.0.1", "10.0.0.2"], 2),
        (["10.0.0.1"], 1),
    ],
)
def test_proxies_are_counted_by_what_follows_the_forged_address(addresses: list[str], number: int) -> None:
    assert count_proxies(addresses) == number


# Round trip


def test_round_trip_without_a_worker_fails_and_leaves_nothing(
    uploader: object, tmp_path: Path, runtime_options: Override
) -> None:
    runtime_options(symbolicate_deadline_seconds=0)
    # The first request imports every view.
    Client().get("/upload/")
    finding = check_round_trip("", in_site=True, seconds=8.0)
    assert finding.level == "failed"
    assert finding.text.startswith("The stack has no function in time")
    assert "uploaded in" in finding.text
    assert "deleted in" in finding.text
    assert not User.objects.exists()
    assert not Upload.objects.exists()
    assert not SymbolFile.objects.exists()
    assert [path for path in tmp_path.rglob("*") if DEBUG_FILE in path.name] == []


def test_round_trip_under_closed_uploads_is_skipped(
    uploader: object, runtime_options: Override, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.runtimeconfig.current.uploads_closed", object)
    assert check_round_trip("", in_site=True).level == "skipped"


def test_files_of_a_killed_run_are_removed(uploader: object) -> None:
    old = timezone.now() - timedelta(hours=1)
    row = {"debug_file": DEBUG_FILE, "bucket_name": "b", "debug_id": "A" * 32 + "0"}
    SymbolFile.objects.create(key="v1/old", created_at=old, **row)
    fresh = SymbolFile.objects.create(key="v1/new", **{**row, "debug_id": "B" * 32 + "0"})
    remove_stale_files()
    assert list(SymbolFile.objects.all()) == [fresh]


def test_account_of_a_killed_run_is_removed_and_others_stay() -> None:
    User.objects.create(username=ADDRESS.format("x"), date_joined=timezone.now() - timedelta(hours=1))
    User.objects.create(username="a@example.com", date_joined=timezone.now() - timedelta(hours=1))
    with temporary_token("upload.upload_symbols") as key:
        assert len(key) == 64
        assert User.objects.count() == 2
    assert [user.username for user in User.objects.all()] == ["a@example.com"]

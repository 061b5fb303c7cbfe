"""The fixture of a site with something to see on every page; for a test module's `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

import tecken.celery  # noqa: F401 - jobs are sent by the current app
from tecken import services
from tecken.accounts.tokens import find_permissions, issue
from tecken.jobs import sending
from tecken.jobs.records import records
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import service
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbols.ids import ObjectId
from tecken.web.shared_reports import share_report
from tests.support.options import Override
from tests.symbolication.minidump.reports import crash_report
from tests.web.api.rows import fetched_of, file_of, upload_of
from tests.web.everything import (
    ARCHIVE_OF_OWNER,
    DEAD,
    EXCEPTION,
    FETCHED,
    MODULE,
    NOTES_OF_OWNER,
    STACK,
    Everything,
    create_people,
)
from tests.web.minidumps import finish, submit


@pytest.fixture
def everything(
    tmp_path: Path,
    settings: Settings,
    clear_redis_store: None,
    runtime_options: Override,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Everything]:
    settings.STORAGE_URL = tmp_path.as_uri()
    settings.SYMBOL_SOURCES = []
    runtime_options(symbolicate_deadline_seconds=0)
    services.discard_all()
    store_services.page_store().put_missing(ObjectId.parse(**MODULE), Missing("absent", "nobody has it"), 60)
    jobs: list[object] = []
    monkeypatch.setattr(sending, "send", lambda task, *_arguments, **_how: jobs.append(task))
    monkeypatch.setattr("tecken.doctor.background.diagnose", lambda *_arguments, **_how: iter(()))
    people = create_people()
    for changes in (
        {"symbolicate_max_jobs": "20", "limit_exceptions": EXCEPTION},
        {"symbolicate_max_jobs": "30"},
    ):
        service.change(changes, by="somebody@example.com", source="cli")
    records().store_letter(DEAD)
    upload = upload_of(people["owner"], filename=ARCHIVE_OF_OWNER, completed_at=None)
    file_of(upload)
    fetched_of(pk=FETCHED)
    token, _key = issue(people["owner"], list(find_permissions(["tokens.manage_tokens"])), 30, NOTES_OF_OWNER)
    shared = share_report(redis_services.counters_client(), redis_services.cache_guard(), STACK)
    minidump = submit()
    finish(minidump, crash_report())
    jobs.clear()
    yield Everything(people["owner"].pk, upload.pk, token.pk, shared, minidump, jobs)
    services.discard_all()

"""Jobs that run twice, because their worker was killed before it acknowledged them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.conf import settings as site
from django.core import serializers
from pytest_django import Settings

from tecken import services
from tecken.celery import app
from tecken.jobs.records import records
from tecken.redisclient import services as redis_services
from tecken.symbolication.crash_dumps.services import dump_desk
from tecken.symbolication.tasks import convert, prepare, process_minidump
from tecken.tasks import keep_upload
from tecken.upload.models import Upload
from tests.jobs.traced import traced
from tests.support.quiet_usage import quiet_usage
from tests.symbolication.crash_dumps.jobs import crash_dump
from tests.upload.uploaders import SAMPLES, SYM, SYM_KEY, Makes
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db
app.loader.import_default_modules()
OURS = sorted(name for name in app.tasks if name.startswith("tecken."))
MODULE = [SYM_KEY.debug_file, SYM_KEY.debug_id]


@pytest.fixture
def arguments(uploader: Makes, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Return arguments for each task that has some, and prepare work for each task."""
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    settings.DOWNLOAD_EXTENSIONS = [".sym"]
    services.discard_all()
    # Else a thread sends counts between the two runs, and the second one rolls up more than the first.
    used = quiet_usage(monkeypatch, redis_services.counters_client())
    builder = uploader()
    # This is recorded as a missing symbol.
    builder.client.get("/nobody.so/AB/nobody.sym")
    archive = io.BytesIO(zipped({str(SYM_KEY): SYM}))
    archive.name = "any"
    builder.client.post("/upload/?async=1", {"symbols.zip": archive})
    used.flush(is_last=True)
    return {
        prepare.name: MODULE,
        convert.name: MODULE,
        keep_upload.name: [Upload.objects.get().pk],
        process_minidump.name: [dump_desk().submit(io.BytesIO(crash_dump()), "127.0.0.1")],
        "tecken.jobs.tasks.canary": ["convert"],
    }


def state() -> dict[str, str | bytes]:
    """Return all rows and all stored files."""
    models = [model for model in apps.get_models() if model.__module__.startswith("tecken.")]
    rows: dict[str, str | bytes] = {
        model.__name__: serializers.serialize("json", model._default_manager.order_by("pk"))
        for model in models
    }
    storage = Path(urlsplit(site.STORAGE_URL).path)
    return rows | {str(file): file.read_bytes() for file in storage.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", OURS)
def test_done_twice_is_done(name: str, arguments: dict[str, list[Any]]) -> None:
    for time in range(2):
        result = traced(app.tasks[name], *arguments.get(name, ()))
        assert result.info is None, result.info.retval
        if time == 0:
            after_once = state()
    assert state() == after_once
    assert records().letters() == []


def test_task_list_is_complete() -> None:
    assert len(OURS) >= 9

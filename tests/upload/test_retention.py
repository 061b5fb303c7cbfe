"""Retention removes old uploads, in an order that never leaves a row of a deleted object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

import tecken.celery  # noqa: F401 - tasks are sent by the current app
from tecken import services
from tecken.download import missing as misses
from tecken.download.models import MissingSymbol
from tecken.errors import NotFound, Unavailable
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.storage.models import SymbolFile
from tecken.storage.presence_cache import regular_file_key
from tecken.store import services as store_services
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.tasks import clean_uploads
from tecken.upload.ingest import ingest_file, select_storage
from tecken.upload.models import Upload
from tecken.upload.retention import NEVER_COMPLETED, Removed, Retention
from tests.support.options import Override
from tests.support.redis_server import free_port

pytestmark = pytest.mark.django_db
XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
SYM = symbol_file(XUL)
DLL = SYM._replace(file_name="xul.dl_")
TEXT = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\nPUBLIC 1000 0 main\n"


@pytest.fixture(autouse=True)
def house(tmp_path: Path, settings: Settings, clear_redis_store: None) -> Iterator[Settings]:
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    yield settings
    services.discard_all()


@pytest.fixture
def user() -> User:
    return User.objects.create_user("build@example.com")


Uploads = Callable[..., Upload]


@pytest.fixture
def uploads(user: User) -> Uploads:
    def upload(*files: FileKey, text: bytes = TEXT, of_try: bool = False, days_ago: int = 0) -> Upload:
        """Create an upload that was completed `days_ago`."""
        at = timezone.now() - timedelta(days=days_ago)
        made = Upload.objects.create(
            user=user,
            bucket_name=select_storage(of_try).name,
            try_symbols=of_try,
            created_at=at,
            completed_at=at,
        )
        for key in files:
            ingest_file(made, key, lambda: [text], len(text))
        made.files.update(created_at=at, completed_at=at)
        return made

    return upload


def days_on(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


def there(key: FileKey, *, of_try: bool = False) -> bool:
    try:
        select_storage(of_try).stat(key)
    except NotFound:
        return False
    return True


def has_page_file() -> bool:
    return XUL in dict(storage_services.page_files().entries())


def test_retention_run_removes_try_and_regular_files_at_their_own_age(uploads: Uploads) -> None:
    uploads(SYM, DLL)
    uploads(SYM, of_try=True)
    assert Retention(days_on(29)).run() == Removed()
    removed = Retention(days_on(31)).run()
    assert (removed.rows, removed.files, removed.uploads) == (1, 1, 1)
    assert (there(SYM), there(SYM, of_try=True)) == (True, False)
    assert Retention(days_on(729)).run() == Removed()
    removed = Retention(days_on(731)).run()
    assert (removed.rows, removed.files, removed.uploads) == (2, 2, 1)
    assert not there(SYM)
    assert not there(DLL)
    assert (SymbolFile.objects.count(), Upload.objects.count()) == (0, 0)


def test_retention_run_removes_everything_derived_from_a_file(uploads: Uploads) -> None:
    uploads(SYM)
    symbolication_services.converter().convert(XUL)
    name = regular_file_key(SYM)
    known = storage_services.presence_cache()
    known.store(name, known.lease(name), ["there"])
    assert (has_page_file(), known.get([name])) == (True, [["there"]])
    Retention(days_on(731)).run()
    assert not has_page_file()
    assert store_services.page_store().headers([XUL]) == {}
    assert known.get([name]) != [["there"]]


def test_retention_run_of_a_try_file_leaves_the_regular_page_file(uploads: Uploads) -> None:
    uploads(SYM)
    uploads(SYM, of_try=True)
    symbolication_services.converter().convert(XUL)
    Retention(days_on(31)).run()
    assert has_page_file()


def test_retention_run_leaves_a_file_that_was_uploaded_again(uploads: Uploads) -> None:
    uploads(SYM, text=TEXT + b"PUBLIC 2000 0 old\n", days_ago=800)
    new = uploads(SYM)
    removed = Retention(timezone.now()).run()
    assert (removed.rows, removed.files, removed.uploads) == (1, 0, 1)
    assert there(SYM)
    assert [row.upload for row in SymbolFile.objects.all()] == [new]


def test_retention_run_leaves_a_file_that_is_being_uploaded_again(uploads: Uploads) -> None:
    # The row is old, but the object was written just now.
    uploads(SYM, days_ago=800)
    removed = Retention(timezone.now()).run()
    assert removed.rows == 1
    assert there(SYM)


def test_retention_dry_run_returns_the_same_numbers_and_removes_nothing(uploads: Uploads) -> None:
    uploads(SYM, DLL)
    storage_services.staging().put(Slot(1, 0), [b"x"])
    dry = Retention(days_on(731), dry_run=True).run()
    assert (dry.rows, dry.files, dry.staged) == (2, 2, 1)
    assert there(SYM)
    assert SymbolFile.objects.filter(completed_at__isnull=False).count() == 2
    assert Retention(days_on(731)).run() == dry


def test_retention_interrupted_run_leaves_no_row_of_a_deleted_object_complete(
    uploads: Uploads, house: Settings
) -> None:
    uploads(SYM)
    url = house.CACHES["default"]["LOCATION"]
    house.CACHES["default"]["LOCATION"] = f"redis://127.0.0.1:{free_port()}/0"
    services.discard_all()
    with pytest.raises(Unavailable):
        Retention(days_on(731)).run()
    assert not there(SYM)
    assert [row.completed_at for row in SymbolFile.objects.all()] == [None]
    house.CACHES["default"]["LOCATION"] = url
    services.discard_all()
    Retention(days_on(731)).run()
    assert SymbolFile.objects.count() == 0


def test_retention_run_in_small_batches_clears_all_rows_of_a_file(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, house: Settings
) -> None:
    monkeypatch.setattr("tecken.upload.retention.BATCH", 1)
    uploads(SYM, text=TEXT + b"PUBLIC 2000 0 old\n")
    uploads(SYM)
    removed = Retention(days_on(731)).run()
    assert (removed.rows, SymbolFile.objects.count(), there(SYM)) == (2, 0, False)


def test_retention_run_cancels_an_unfinished_upload(uploads: Uploads, user: User) -> None:
    began = uploads(SYM)
    Upload.objects.filter(pk=began.pk).update(completed_at=None)
    nothing = Upload.objects.create(user=user, bucket_name="ours")
    storage_services.staging().put(Slot(nothing.pk, 0), [b"x"])
    assert Retention(days_on(0.9)).run() == Removed()
    removed = Retention(days_on(1.1)).run()
    assert removed == Removed(uploads=1, staged=1)
    began.refresh_from_db()
    assert (began.error, began.cancelled_at is not None, there(SYM)) == (NEVER_COMPLETED, True, True)
    assert not Upload.objects.filter(pk=nothing.pk).exists()
    assert list(storage_services.staging().entries()) == []


def missing(name: str, days_ago: int) -> None:
    seen = timezone.now() - timedelta(days=days_ago)
    MissingSymbol.objects.create(
        digest=name, debug_file=name, debug_id="", code_file="", code_id="", count=1, last_seen=seen
    )


def test_clean_removes_old_missing_symbols() -> None:
    missing("old", 31)
    missing("new", 29)
    assert misses.remove_old(timezone.now(), dry_run=True) == 1
    assert misses.remove_old(timezone.now()) == 1
    assert [row.debug_file for row in MissingSymbol.objects.all()] == ["new"]


def test_cleanup_command_prints_what_it_removed(uploads: Uploads) -> None:
    missing("old", 31)
    uploads(SYM, days_ago=800)
    said = StringIO()
    call_command("cleanup", "--dry-run", stdout=said)
    assert said.getvalue().startswith("would be removed: 1 files of ")
    assert said.getvalue().endswith(
        "1 of their rows, 1 uploads, 0 staged files, 0 modules of upstreams of 0 bytes, "
        "0 minidumps and 0 of their reports of 0 bytes, 1 missing symbols\n"
    )
    call_command("cleanup", stdout=said)
    assert said.getvalue().endswith(
        "1 of their rows, 1 uploads, 0 staged files, 0 modules of upstreams of 0 bytes, "
        "0 minidumps and 0 of their reports of 0 bytes, 1 missing symbols\n"
    )


def test_cleanup_command_without_storage_fails(
    uploads: Uploads, house: Settings, runtime_options: Override
) -> None:
    uploads(SYM, days_ago=800)
    house.STORAGE_URL = "s3://nowhere"
    runtime_options(source_timeout_seconds=0.1)
    services.discard_all()
    with pytest.raises(CommandError, match="the next run continues from here"):
        call_command("cleanup")


def test_clean_task_removes_old_files(uploads: Uploads) -> None:
    uploads(SYM, days_ago=800)
    clean_uploads()
    assert SymbolFile.objects.count() == 0

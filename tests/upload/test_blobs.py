"""Equal native files of several uploads share content, which is deleted with the last of their rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from tecken import services
from tecken.errors import NotFound, Unavailable
from tecken.storage import blob_rows
from tecken.storage import services as storage_services
from tecken.storage.backends.files import ObjectFiles
from tecken.storage.models import Blob, SymbolFile
from tecken.storage.port import Stored
from tecken.symbols.layouts import FileKey, storage_path
from tecken.upload.file_rows import StoredFile, record
from tecken.upload.ingest import ingest_file, select_storage, store_file
from tecken.upload.models import Upload
from tecken.upload.retention import Removed, Retention

CHANCE = random.Random(3)
TEXT = b"".join(CHANCE.choices([CHANCE.randbytes(7) for _ in range(50)], k=30_000))
DIGEST = sha256(TEXT).hexdigest()
ONE = FileKey("libone.so", "44E4EC8C2F41492B9369D6B9A059577C2", "libone.so")
OTHER = FileKey("libother.so", "A" * 33, "libother.so")


@pytest.fixture(autouse=True)
def house(tmp_path: Path, settings: Settings, clear_redis_store: None) -> Iterator[None]:
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    yield
    services.discard_all()


Uploads = Callable[..., Upload]


@pytest.fixture
def uploads(db: None) -> Uploads:
    user = User.objects.create_user("build@example.com")

    def upload(*files: FileKey, content: bytes = TEXT, of_try: bool = False, days_ago: int = 0) -> Upload:
        """Create an upload that was completed `days_ago`."""
        at = timezone.now() - timedelta(days=days_ago)
        name = select_storage(of_try).name
        made = Upload.objects.create(user=user, bucket_name=name, try_symbols=of_try, created_at=at)
        for key in files:
            ingest_file(made, key, lambda: [content], len(content))
        made.files.update(created_at=at, completed_at=at)
        return made

    return upload


def content_of(key: FileKey, *, of_try: bool = False) -> bytes:
    with select_storage(of_try).read(key) as chunks:
        return b"".join(chunks)


def stored_digests(*, of_try: bool = False) -> list[str]:
    return [digest for digest, _ in select_storage(of_try).blobs.entries()]


def test_upload_equal_files_of_two_builds_are_stored_once(uploads: Uploads) -> None:
    first, second = uploads(ONE), uploads(OTHER)
    blob = Blob.objects.get()
    assert {*first.files.all(), *second.files.all()} == set(blob.files.all())
    assert (blob.sha256, blob.size) == (DIGEST, len(TEXT))
    assert 0 < blob.stored_size < len(TEXT) / 2
    assert stored_digests() == [DIGEST]
    row = second.files.get()
    assert (row.size, row.original_size, row.etag) == (blob.stored_size, len(TEXT), DIGEST)


def test_upload_of_try_build_has_content_of_its_own(uploads: Uploads) -> None:
    uploads(ONE)
    uploads(ONE, of_try=True)
    assert Blob.objects.count() == 2
    assert stored_digests() == stored_digests(of_try=True) == [DIGEST]


def test_upload_unchanged_file_is_skipped(uploads: Uploads) -> None:
    uploads(ONE)
    again = uploads(ONE)
    assert (again.skipped_keys, SymbolFile.objects.count()) == ([storage_path(ONE)], 1)


def test_upload_symbol_file_has_no_blob(uploads: Uploads) -> None:
    sym = uploads(ONE._replace(file_name="libone.so.sym")).files.get()
    assert (sym.blob, Blob.objects.count(), stored_digests()) == (None, 0, [])


def test_upload_file_of_a_former_release_is_skipped_and_stays(uploads: Uploads, tmp_path: Path) -> None:
    path = tmp_path / "storage" / storage_path(ONE)
    path.parent.mkdir(parents=True)
    path.write_bytes(TEXT)
    assert uploads(ONE).skipped_keys == [storage_path(ONE)]
    row = SymbolFile.objects.get()
    assert (row.blob, row.size, row.etag) == (None, len(TEXT), storage_services.own_files().stat(ONE).etag)
    assert path.read_bytes() == TEXT


# Uploads that are killed


class Killed(BaseException):
    """End of a process."""


def chunks_until_killed() -> Iterable[bytes]:
    yield TEXT[:1000]
    raise Killed


def test_upload_killed_while_it_sends_content_leaves_nothing(uploads: Uploads) -> None:
    upload = uploads()
    with pytest.raises(Killed):
        store_file(upload, ONE, chunks_until_killed, len(TEXT), ())
    assert (stored_digests(), list(storage_services.own_files().keys())) == ([], [])


def test_upload_killed_after_the_content_uses_it_when_repeated(uploads: Uploads) -> None:
    files = storage_services.own_files()
    files.put(OTHER, [TEXT])
    files.delete(OTHER)
    written = files.blobs.stat(DIGEST)
    upload = uploads(ONE)
    assert (files.blobs.stat(DIGEST), upload.files.get().blob) == (written, Blob.objects.get())


def test_upload_killed_before_its_row_is_adopted_when_repeated(uploads: Uploads) -> None:
    store_file(uploads(), ONE, lambda: [TEXT], len(TEXT), ())
    assert Blob.objects.count() == 0
    assert uploads(ONE).skipped_keys == [storage_path(ONE)]
    assert SymbolFile.objects.get().blob == Blob.objects.get()


def test_upload_of_content_that_was_deleted_meanwhile_is_unavailable_and_can_be_repeated(
    uploads: Uploads,
) -> None:
    upload = uploads()
    outcome = store_file(upload, ONE, lambda: [TEXT], len(TEXT), ())
    assert isinstance(outcome, StoredFile)
    assert blob_rows.delete_if_unreferenced(storage_services.own_files(), DIGEST)
    with pytest.raises(Unavailable, match="send the file again"):
        record(upload, outcome)
    assert (Blob.objects.count(), SymbolFile.objects.count()) == (0, 0)
    uploads(ONE)
    assert (content_of(ONE), SymbolFile.objects.get().blob) == (TEXT, Blob.objects.get())


# Deletion


def test_delete_content_with_a_file_does_nothing(uploads: Uploads) -> None:
    uploads(ONE)
    assert not blob_rows.delete_if_unreferenced(storage_services.own_files(), DIGEST)
    assert content_of(ONE) == TEXT


def test_delete_killed_after_the_object_is_finished_by_the_next(uploads: Uploads) -> None:
    files = storage_services.own_files()
    uploads(ONE)
    SymbolFile.objects.all().delete()
    files.blobs.delete(DIGEST)
    assert [blob.sha256 for blob in blob_rows.unreferenced(files)] == [DIGEST]
    assert blob_rows.delete_if_unreferenced(files, DIGEST)
    assert not Blob.objects.exists()


def test_upload_after_a_killed_deletion_stores_the_content_again(uploads: Uploads) -> None:
    uploads(ONE)
    SymbolFile.objects.all().delete()
    storage_services.own_files().blobs.delete(DIGEST)
    uploads(ONE)
    assert (content_of(ONE), SymbolFile.objects.get().blob) == (TEXT, Blob.objects.get())


def run_retention(days: float, *, dry_run: bool = False) -> Removed:
    return Retention(timezone.now() + timedelta(days=days), dry_run=dry_run).run()


def test_retention_run_deletes_content_with_its_last_file(uploads: Uploads) -> None:
    uploads(ONE, days_ago=800)
    uploads(OTHER)
    size = Blob.objects.get().stored_size
    first = run_retention(729)
    # The object of the first file is as new as the second upload, so only its row was old.
    assert (first.rows, first.bytes, content_of(OTHER)) == (1, 0, TEXT)
    assert run_retention(731, dry_run=True).bytes == size
    assert run_retention(731).bytes == size
    assert (stored_digests(), Blob.objects.count(), SymbolFile.objects.count()) == ([], 0, 0)
    with pytest.raises(NotFound):
        storage_services.own_files().stat(OTHER)


def test_retention_run_of_try_files_leaves_regular_content(uploads: Uploads) -> None:
    uploads(ONE, of_try=True)
    uploads(ONE)
    run_retention(31)
    assert (stored_digests(), stored_digests(of_try=True)) == ([DIGEST], [])
    assert content_of(ONE) == TEXT


def test_retention_run_deletes_content_that_was_replaced_with_its_row(uploads: Uploads) -> None:
    uploads(ONE, days_ago=800)
    uploads(ONE, content=TEXT[::-1])
    assert len(stored_digests()) == 2
    run_retention(0)
    assert stored_digests() == [sha256(TEXT[::-1]).hexdigest()]
    assert content_of(ONE) == TEXT[::-1]


# Side by side. SQLite has one writer at a time, and a database in memory does not even wait for it.

on_postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one write lock")


def in_thread(work: Callable[[], object], results: list[object]) -> Thread:
    def run() -> None:
        try:
            results.append(work())
        except Unavailable as error:
            results.append(error)
        finally:
            connection.close()

    thread = Thread(target=run)
    thread.start()
    return thread


def add_row(files: ObjectFiles, stored: Stored, key: FileKey = ONE) -> None:
    with transaction.atomic():
        blob = blob_rows.refer(files, stored)
        SymbolFile.objects.create(bucket_name=files.name, key=storage_path(key), blob=blob)


@on_postgres
@pytest.mark.django_db(transaction=True)
def test_delete_waits_for_an_upload_and_finds_its_reference() -> None:
    files, results = storage_services.own_files(), list[object]()
    stored = files.put(ONE, [TEXT])
    with transaction.atomic():
        add_row(files, stored)
        deleter = in_thread(lambda: blob_rows.delete_if_unreferenced(files, DIGEST), results)
        deleter.join(0.2)
        assert results == []
    deleter.join()
    assert (results, content_of(ONE)) == ([False], TEXT)


@on_postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_row", [True, False])
def test_upload_waits_for_a_deletion_and_is_refused(has_row: bool) -> None:
    files, results = storage_services.own_files(), list[object]()
    stored = files.put(ONE, [TEXT])
    if has_row:
        add_row(files, stored)
        SymbolFile.objects.all().delete()
    with transaction.atomic():
        assert blob_rows.delete_if_unreferenced(files, DIGEST)
        uploader = in_thread(lambda: add_row(files, stored), results)
        uploader.join(0.2)
        assert results == []
    uploader.join()
    assert [type(result) for result in results] == [Unavailable]
    assert (Blob.objects.count(), SymbolFile.objects.count()) == (0, 0)


@on_postgres
@pytest.mark.django_db(transaction=True)
def test_uploads_and_deletions_side_by_side_never_leave_a_row_without_content() -> None:
    files, over = storage_services.own_files(), Event()

    def upload(number: int) -> None:
        key = ONE._replace(file_name=f"{number}.so")
        for _ in range(20):
            try:
                add_row(files, files.put(key, [TEXT]), key)
                # The lock is free, so a deletion that did not count this row would show here.
                assert content_of(key) == TEXT
            except Unavailable:
                continue
            SymbolFile.objects.filter(key=storage_path(key)).delete()

    def delete() -> None:
        while not over.is_set():
            blob_rows.delete_if_unreferenced(files, DIGEST)

    results: list[object] = []
    uploaders = [in_thread(lambda number=number: upload(number), results) for number in range(3)]  # type: ignore[misc]
    deleter = in_thread(delete, results)
    for thread in uploaders:
        thread.join()
    over.set()
    deleter.join()
    assert results == [None] * 4

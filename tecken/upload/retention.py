"""Retention: removal of old uploads with their objects, page files and rows.

A row with `completed_at` means that its object exists. Each file is therefore removed in this order:

1. `completed_at` of its rows is cleared.
2. Its object is deleted, unless it was stored again in the meantime.
3. Its page file and header are deleted, and all processes discard their copies.
4. Its rows are deleted.
5. When all files are done, content of native files to which no row refers any more is deleted.

A run that is killed in between leaves rows without `completed_at`, or content without rows. The next run
finds and finishes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from tecken.errors import NotFound
from tecken.runtimeconfig.current import options
from tecken.storage import blob_rows
from tecken.storage import services as storage_services
from tecken.storage.backends.files import ObjectFiles
from tecken.storage.models import SymbolFile
from tecken.storage.port import OwnFiles, Stored
from tecken.symbolication import services as symbolication_services
from tecken.symbols.layouts import FileKey, object_of, parse_storage_path
from tecken.upload.file_rows import remove_derived_of_native
from tecken.upload.ingest import ContextThreads, select_storage
from tecken.upload.models import Upload

BATCH = 500
DELETERS = 8
# Difference between the clocks of the site and of its storage.
CLOCKS = timedelta(hours=1)
NEVER_COMPLETED = "It was never completed"


class Removed(NamedTuple):
    """Numbers of removed items. A file that was uploaded again counts as a row only; bytes are as stored."""

    rows: int = 0
    files: int = 0
    bytes: int = 0
    uploads: int = 0
    staged: int = 0


class Retention:
    """Removal of old uploads. `run` may be killed, repeated, or run in two processes at once."""

    def __init__(self, now: datetime, *, dry_run: bool = False) -> None:
        self._now = now
        self._dry_run = dry_run
        self._removed = Removed()

    def run(self) -> Removed:
        """Remove old uploads and return their numbers. Raise Unavailable when a server does not answer."""
        config = options()
        old_rows = Q()
        for try_symbols, days in ((True, config.keep_try_days), (False, config.keep_regular_days)):
            before = self._now - timedelta(days=days)
            is_old = Q(try_symbols=try_symbols, created_at__lt=before)
            old_rows |= is_old
            for rows in _read_batches(SymbolFile.objects.filter(is_old)):
                self._remove_files(select_storage(try_symbols), rows, before)
            uploads = Upload.objects.filter(try_symbols=try_symbols, created_at__lt=before)
            self._remove_uploads(uploads, young=Q(created_at__gte=before))
        for try_symbols in (True, False):
            self._remove_content(select_storage(try_symbols), old_rows)
        self._cancel_unfinished(self._now - timedelta(days=config.keep_unfinished_days))
        return self._removed

    def _count(self, **numbers: int) -> None:
        self._removed = self._removed._replace(
            **{name: getattr(self._removed, name) + number for name, number in numbers.items()}
        )

    def _remove_files(self, files: OwnFiles, rows: Sequence[SymbolFile], before: datetime) -> None:
        newest = {row.key: row for row in rows if row.bucket_name == files.name}
        renewed = _find_renewed(files, newest, before)
        expired = [row for key, row in newest.items() if key not in renewed]
        own_bytes = sum(row.size for row in expired if row.blob_id is None)
        self._count(rows=len(rows), files=len(expired), bytes=own_bytes)
        if self._dry_run:
            return
        # All old rows of a file, not only those of this batch: each of them would describe a deleted object.
        completed = SymbolFile.objects.filter(key__in=[row.key for row in expired], bucket_name=files.name)
        completed.filter(created_at__lt=before).update(completed_at=None)
        with ContextThreads(DELETERS) as pool:
            list(pool.map(lambda row: _remove_object(files, row, before), expired))
        # Their modules are made again from the files that are left.
        for row in expired:
            remove_derived_of_native(row, converts=False)
        SymbolFile.objects.filter(pk__in=[row.pk for row in rows]).delete()

    def _remove_content(self, files: ObjectFiles, old_rows: Q) -> None:
        """Delete content to which no file refers. A dry run counts what only old files refer to."""
        if self._dry_run:
            sizes = blob_rows.unreferenced(files, except_by=old_rows).aggregate(size=Sum("stored_size"))
            self._count(bytes=sizes["size"] or 0)
            return
        for digest, size in list(blob_rows.unreferenced(files).values_list("sha256", "stored_size")):
            if blob_rows.delete_if_unreferenced(files, digest):
                self._count(bytes=size)

    def _remove_uploads(self, uploads: QuerySet[Upload], young: Q) -> None:
        """Delete uploads without files. A dry run counts those whose files would all be removed."""
        files = SymbolFile.objects.filter(upload=OuterRef("pk"))
        if self._dry_run:
            self._count(uploads=uploads.exclude(Exists(files.filter(young))).count())
            return
        empty = uploads.exclude(Exists(files))
        while batch := list(empty.order_by("created_at").values_list("pk", flat=True)[:BATCH]):
            Upload.objects.filter(pk__in=batch).delete()
            self._count(uploads=len(batch))

    def _cancel_unfinished(self, before: datetime) -> None:
        """Cancel old unfinished uploads, and delete those without files and old staged files."""
        unfinished = Upload.objects.filter(completed_at=None, created_at__lt=before)
        if not self._dry_run:
            unfinished.filter(cancelled_at=None).update(cancelled_at=timezone.now(), error=NEVER_COMPLETED)
        self._remove_uploads(unfinished, young=Q())
        for slot, written in storage_services.staging().entries():
            if written < before:
                self._count(staged=1)
                if not self._dry_run:
                    storage_services.staging().delete(slot)


def _read_batches(rows: QuerySet[SymbolFile]) -> Iterator[list[SymbolFile]]:
    """Yield rows in batches, the oldest first."""
    # Paged by key, not by offset: removed rows shift offsets, and kept rows would be read for ever.
    rows = rows.order_by("created_at", "pk")
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        last = batch[-1]
        beyond = Q(created_at__gt=last.created_at) | Q(created_at=last.created_at, pk__gt=last.pk)
        batch = list(rows.filter(beyond, created_at__gte=last.created_at)[:BATCH])


def _find_renewed(files: OwnFiles, keys: Collection[str], before: datetime) -> set[str]:
    """Return the keys that were uploaded again after `before`."""
    younger = SymbolFile.objects.filter(
        key__in=list(keys), bucket_name=files.name, completed_at__isnull=False, created_at__gte=before
    )
    return set(younger.values_list("key", flat=True))


def _remove_object(files: OwnFiles, row: SymbolFile, before: datetime) -> None:
    """Delete an object and everything derived from it. Safe to repeat, and in any thread (no database)."""
    key = parse_storage_path(row.key)
    stored = _stat(files, key)
    # A newer object is of an upload that has not written its row yet, or of a command that writes none.
    if stored is not None and stored.modified >= before and not _is_of_row(stored, row):
        return
    files.delete(key)
    module = object_of(key)
    if module is not None:
        symbolication_services.remove_derived(module.in_try() if row.try_symbols else module)
    storage_services.presence_cache().forget_file(key, row.code_file, row.code_id)


def _is_of_row(stored: Stored, row: SymbolFile) -> bool:
    """Return whether a row was written for just this object, although its date may be years before.

    Rows of an import have the dates of the imported files. In a row of an interrupted run the etag decides.
    """
    is_before = row.completed_at is None or stored.modified <= row.completed_at + CLOCKS
    return is_before and stored.etag == row.etag


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except NotFound:
        return None

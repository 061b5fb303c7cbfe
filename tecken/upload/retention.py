"""Remove uploads that are older than they are kept: objects, page files and rows.

A row with `completed_at` says that its object is there. So of each file

1. its rows stop saying so,
2. the object goes, unless somebody has stored it again,
3. what was made of it goes, and every process forgets it,
4. its rows go,

and whoever is killed in between leaves rows that say nothing, which the next run finds and finishes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from tecken import wiring
from tecken.errors import Absent
from tecken.runtimeconfig.current import options
from tecken.storage.models import SymbolFile
from tecken.storage.port import FileKey, OwnFiles
from tecken.symbols.ids import in_try
from tecken.upload.ingest import module_of, storage
from tecken.upload.models import Upload
from tecken.upload.threads import each

BATCH = 500
DELETERS = 8
NEVER_COMPLETED = "It was never completed"


class Removed(NamedTuple):
    """How many of each; a file that was uploaded again since counts as a row only. Bytes as stored."""

    rows: int = 0
    files: int = 0
    bytes: int = 0
    uploads: int = 0
    staged: int = 0


class Retention:
    """`run` may be killed, repeated, or go on in two processes at once."""

    def __init__(self, now: datetime, *, dry_run: bool = False) -> None:
        self._now = now
        self._dry_run = dry_run
        self._removed = Removed()

    def run(self) -> Removed:
        """Raises CouldNotAsk when something does not answer; what was done until then stays done."""
        now = options()
        for try_symbols, days in ((True, now.keep_try_days), (False, now.keep_regular_days)):
            before = self._now - timedelta(days=days)
            old = SymbolFile.objects.filter(try_symbols=try_symbols, created_at__lt=before)
            for rows in _batches(old):
                self._remove_files(storage(try_symbols), rows, before)
            uploads = Upload.objects.filter(try_symbols=try_symbols, created_at__lt=before)
            self._remove_uploads(uploads, young=Q(created_at__gte=before))
        self._end_unfinished(self._now - timedelta(days=now.keep_unfinished_days))
        return self._removed

    def _count(self, **more: int) -> None:
        self._removed = self._removed._replace(
            **{name: getattr(self._removed, name) + number for name, number in more.items()}
        )

    def _remove_files(self, files: OwnFiles, rows: Sequence[SymbolFile], before: datetime) -> None:
        newest = {row.key: row for row in rows if row.bucket_name == files.name}
        going = [row for key, row in newest.items() if key not in _wanted(files, newest, before)]
        self._count(rows=len(rows), files=len(going), bytes=sum(row.size for row in going))
        if self._dry_run:
            return
        say_so = SymbolFile.objects.filter(key__in=[row.key for row in going], bucket_name=files.name)
        say_so.filter(created_at__lt=before).update(completed_at=None)
        with ThreadPoolExecutor(DELETERS) as pool:
            list(each(pool, lambda row: _remove_object(files, row, before), going))
        SymbolFile.objects.filter(pk__in=[row.pk for row in rows]).delete()

    def _remove_uploads(self, uploads: QuerySet[Upload], young: Q) -> None:
        """Those without files; in a dry run those whose files would go, as all but `young` ones do."""
        files = SymbolFile.objects.filter(upload=OuterRef("pk"))
        if self._dry_run:
            self._count(uploads=uploads.exclude(Exists(files.filter(young))).count())
            return
        empty = uploads.exclude(Exists(files))
        while some := list(empty.order_by("created_at").values_list("pk", flat=True)[:BATCH]):
            Upload.objects.filter(pk__in=some).delete()
            self._count(uploads=len(some))

    def _end_unfinished(self, before: datetime) -> None:
        """Files that one of them has stored stay, and so does its row, which says how it ended."""
        unfinished = Upload.objects.filter(completed_at=None, created_at__lt=before)
        if not self._dry_run:
            unfinished.filter(cancelled_at=None).update(cancelled_at=timezone.now(), error=NEVER_COMPLETED)
        self._remove_uploads(unfinished, young=Q())
        for slot, written in wiring.staging().entries():
            if written < before:
                self._count(staged=1)
                if not self._dry_run:
                    wiring.staging().delete(slot)


def _batches(rows: QuerySet[SymbolFile]) -> Iterator[list[SymbolFile]]:
    """Oldest first, each row once, whether it is removed meanwhile or not."""
    rows = rows.order_by("created_at", "pk")
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        last = batch[-1]
        beyond = Q(created_at__gt=last.created_at) | Q(created_at=last.created_at, pk__gt=last.pk)
        batch = list(rows.filter(beyond, created_at__gte=last.created_at)[:BATCH])


def _wanted(files: OwnFiles, keys: Collection[str], before: datetime) -> set[str]:
    """Those that were uploaded again since."""
    younger = SymbolFile.objects.filter(
        key__in=list(keys), bucket_name=files.name, completed_at__isnull=False, created_at__gte=before
    )
    return set(younger.values_list("key", flat=True))


def _remove_object(files: OwnFiles, row: SymbolFile, before: datetime) -> None:
    """Needs no database, so any thread may do it. Safe to repeat."""
    key = FileKey(*row.key.split("/")[1:])
    there = _modified(files, key)
    if there is not None and there >= before:
        return  # by somebody who has not written a row yet, or writes none
    files.delete(key)
    module = module_of(key)
    if module is not None:
        wiring.removed(in_try(module) if row.try_symbols else module)
    wiring.known().changed(key, row.code_file, row.code_id)


def _modified(files: OwnFiles, key: FileKey) -> datetime | None:
    try:
        return files.stat(key).modified
    except Absent:
        return None

"""Restore of a backup: checks, files, database, redis-cache, and what has to fit them afterwards."""

from __future__ import annotations

import hashlib
import os
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Final

import orjson
from django.contrib.auth.models import User
from django.core.management import call_command

from tecken.errors import InvalidInput, Malformed, NotFound
from tecken.management.backups import database_copy
from tecken.management.backups.archive import (
    DATABASE,
    REDIS_CACHE,
    BackupArchive,
    FileEntry,
    Manifest,
    copy,
    unpack_lines,
)
from tecken.management.backups.redis_copy import RedisCopy, RedisEntry
from tecken.management.backups.storage_copy import (
    SMALL_BYTES,
    STORAGE,
    list_files,
    open_places,
    run_threads,
    spool_for,
    staged_sources,
    stored_sources,
)
from tecken.redisclient import delete_all
from tecken.redisclient.services import cache_client
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import REPORT_SECONDS
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.snapshot import list_processes
from tecken.storage.backends.blobs import stored_meta
from tecken.storage.backends.files import object_attributes
from tecken.storage.models import Blob, SymbolFile
from tecken.store.services import store_client
from tecken.symbols.layouts import PAGE_ROOTS
from tecken.upload.models import Upload

POLL_SECONDS: Final = 0.5
UPDATES: Final = 1000
# Clocks of file systems and of the manifest are precise to a microsecond.
SAME_SECONDS: Final = 0.000_01


def wait_for_processes(report: Callable[[str], object]) -> None:
    """Wait until no process of the site runs. Raises InvalidInput when some do not end."""
    # One that was killed is listed until its last report expires.
    deadline = time.monotonic() + REPORT_SECONDS + 1
    is_told = False
    while running := [one.process for one, _ in list_processes(current.backend().reports(), 0, "")]:
        if time.monotonic() > deadline:
            names = ", ".join(running[:5])
            raise InvalidInput(f"stop web servers, workers and beat first: {len(running)} run: {names}")
        if not is_told:
            report(f"waiting until {len(running)} processes of the site have ended")
            is_told = True
        time.sleep(POLL_SECONDS)


def check_release(manifest: Manifest) -> None:
    """Raise InvalidInput for a backup that this release cannot use."""
    if newer := database_copy.unknown_migrations(manifest.migrations):
        raise InvalidInput(
            f"{manifest.name} is of a newer release ({manifest.release}, with {newer[-1]}): "
            "install that release first"
        )
    engine = database_copy.engine()
    if manifest.engine != engine:
        raise InvalidInput(
            f"{manifest.name} has a database of {manifest.engine}, and DATABASE_URL is of {engine}"
        )


def find_data() -> list[str]:
    """Return the servers that have data already."""
    # Tables alone are no data: a new site has run `migrate`.
    has_rows = database_copy.has_tables() and (User.objects.exists() or Version.objects.exists())
    found = ["the database"] if has_rows else []
    if next(list_files([*staged_sources(), *stored_sources(page_files=True)]), None):
        found.append("the storage")
    return found + (["redis-cache"] if RedisCopy().has_data() else [])


# Files


class FileRestore:
    """Restore of the files of a backup. `progress` gets the bytes of each file."""

    def __init__(self, archive: BackupArchive, manifest: Manifest, progress: Callable[[int], object]) -> None:
        self._archive, self._manifest, self._progress = archive, manifest, progress
        self._places = open_places()
        self._open_spool = {place: spool_for(bucket) for place, bucket in self._places.items()}
        self._changed: IO[bytes] = TemporaryFile()  # noqa: SIM115 - `update_rows` closes it
        self._has_replaced = False

    def run(self) -> None:
        """Write all files that are not there in the same version. Raises Malformed and Unavailable."""
        page_files = [f"{root}/" for root in PAGE_ROOTS]
        others = (entry for entry in self._entries() if not entry.path.startswith(tuple(page_files)))
        self._write_all(others)
        if self._has_replaced:
            # They may be of the files that were there before.
            bucket = self._places[STORAGE]
            for path in (path for root in PAGE_ROOTS for path, _ in bucket.entries(root)):
                bucket.delete(path)
        if self._manifest.page_files:
            self._write_all(entry for entry in self._entries() if entry.path.startswith(tuple(page_files)))

    def _entries(self) -> Iterator[FileEntry]:
        for part in self._manifest.file_parts():
            yield from self._archive.file_lines(self._manifest.name, part)

    def _write_all(self, entries: Iterable[FileEntry]) -> None:
        for entry, new in run_threads(self._write, entries):
            if new is not None and new.etag != entry.etag:
                self._changed.write(orjson.dumps([entry.place, entry.path, entry.etag, new.etag]) + b"\n")
            self._progress(entry.size)

    def _write(self, entry: FileEntry) -> FileEntry | None:
        """Write a file and return it with its new etag; None if it is there already."""
        bucket = self._places[entry.place]
        with suppress(NotFound):
            present = stored_meta(bucket.head(entry.path))
            if _is_same(entry, present.size, present.etag, present.modified):
                return entry._replace(etag=present.etag)
            self._has_replaced = True
        put = partial(bucket.put, entry.path, attributes=object_attributes(entry.path))
        read = partial(self._read, entry)
        if entry.size <= SMALL_BYTES:
            put([b"".join(read())])
        else:
            copy(read, put, self._open_spool[entry.place])
        if bucket.directory is not None:
            # Retention and the choice between spellings of a name depend on the time.
            os.utime(bucket.directory / entry.path, (entry.modified, entry.modified))
        return entry._replace(etag=stored_meta(bucket.head(entry.path)).etag)

    def _read(self, entry: FileEntry) -> Iterator[bytes]:
        """Yield the content of a file. Raises Malformed at the end, so that nothing of it is stored."""
        if entry.data is not None:
            chunks: Iterable[bytes] = [b64decode(entry.data)]
        else:
            bucket = self._archive.bucket
            try:
                chunks = bucket.chunks(bucket.get(entry.object_name))
            except NotFound:
                raise Malformed(f"{entry.object_name}: missing: the content of {entry.path}") from None
        yield from _checked(chunks, entry)

    def update_rows(self) -> None:
        """Write the new names of storages and the new etags of files into their rows."""
        for place, bucket in self._places.items():
            former = self._manifest.places[place]
            if former != bucket.name:
                for model in (Upload, SymbolFile, Blob):
                    model.objects.filter(bucket_name=former).update(bucket_name=bucket.name)
        self._changed.seek(0)
        changes = map(orjson.loads, self._changed)
        while batch := list(islice(changes, UPDATES)):
            for place, path, former, etag in batch:
                rows = SymbolFile.objects.filter(key=path, bucket_name=self._places[place].name, etag=former)
                rows.update(etag=etag)
        self._changed.close()


def _is_same(entry: FileEntry, size: int, etag: str, modified: datetime) -> bool:
    """Return whether a stored file is the version in the backup."""
    # A restore to a directory keeps the time of a file and changes its etag. In a bucket it is the reverse.
    is_same_time = abs(modified.timestamp() - entry.modified) < SAME_SECONDS
    return size == entry.size and (etag == entry.etag or is_same_time)


def _checked(chunks: Iterable[bytes], entry: FileEntry) -> Iterator[bytes]:
    """Yield chunks. Raises Malformed at their end if they are not the content of the file."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != entry.sha256:
        raise Malformed(f"{entry.object_name}: damaged: the content of {entry.path} has another SHA-256")


# Database and redis-cache


def restore_database(archive: BackupArchive, manifest: Manifest) -> None:
    """Replace the database, and migrate it. Raises InvalidInput, Malformed and Unavailable."""
    database_copy.restore(archive.read(manifest.name, manifest.part(DATABASE)))
    call_command("migrate", verbosity=0, interactive=False)


def restore_redis(archive: BackupArchive, manifest: Manifest) -> int:
    """Replace what redis-cache has, and empty both caches; return the number of entries.

    Raises Malformed and redis.RedisError.
    """
    cache = RedisCopy()
    cache.clear()
    lines = unpack_lines(archive.read(manifest.name, manifest.part(REDIS_CACHE)), REDIS_CACHE)
    count = cache.write(RedisEntry(*line) for line in lines)
    # Both may have facts about files and symbols that were there before.
    for client in (cache_client(), store_client()):
        delete_all(client)
    # The configuration of redis-cache is older than that of the database.
    service.reconcile()
    return count

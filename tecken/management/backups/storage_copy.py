"""Copy of the storage into a backup, of new and changed files only, and back."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from tempfile import SpooledTemporaryFile
from typing import Any, Final, NamedTuple

from django.conf import settings

from tecken.errors import Malformed, NotFound, Unavailable
from tecken.management.backups.archive import (
    FILES,
    LIMITS,
    OBJECTS,
    BackupArchive,
    BackupPart,
    FileEntry,
    copy,
    pack_lines,
    unpack_lines,
)
from tecken.storage.backends.blobs import stored_meta
from tecken.storage.backends.bucket import Bucket, bucket_for
from tecken.storage.backends.files import STAGING_ROOT
from tecken.storage.disk import nameless
from tecken.symbols.layouts import BLOBS, LOWER_CASE, PAGE_ROOTS, REFERENCES, ROOT, is_former

STORAGE, TRY = "storage", "try"
# References and lower-case names have a hundred bytes: an object each would take forty times as much.
SMALL_BYTES: Final = 512
# Most of the time of a copy is spent in waiting for the storage.
COPIERS: Final = 8
PENDING: Final = 4 * COPIERS
SPOOL_MEMORY_BYTES: Final = 4 << 20
# An interruption loses the list of at most so many files, which are then copied again.
PART_FILES: Final = 20_000
PART_SECONDS: Final = 30.0


class CopySource(NamedTuple):
    """Files below one root of one place."""

    place: str
    bucket: Bucket
    root: str


def open_places() -> dict[str, Bucket]:
    """Return the storages of regular files and of try builds."""
    try_url = settings.TRY_STORAGE_URL or f"{settings.STORAGE_URL.rstrip('/')}/try"
    return {
        STORAGE: bucket_for(settings.STORAGE_URL, lambda: LIMITS),
        TRY: bucket_for(try_url, lambda: LIMITS),
    }


def staged_sources() -> list[CopySource]:
    """Return the files of uploads that are not complete."""
    return [CopySource(STORAGE, open_places()[STORAGE], STAGING_ROOT)]


def stored_sources(*, page_files: bool) -> list[CopySource]:
    """Return all other files in the order in which they are copied: content comes last."""
    places = open_places()
    roots = (LOWER_CASE, ROOT, REFERENCES, BLOBS)
    sources = [CopySource(place, places[place], root) for root in roots for place in places]
    return sources + [CopySource(STORAGE, places[STORAGE], root) for root in PAGE_ROOTS if page_files]


def list_files(sources: Iterable[CopySource]) -> Iterator[FileEntry]:
    """Yield the files of sources without their content. Raises Unavailable."""
    for place, bucket, root in sources:
        for path, meta in bucket.entries(root):
            # A file that a killed writer left has the suffix of the local storage.
            if not is_former(path) and "#" not in path.rpartition("/")[2]:
                stored = stored_meta(meta)
                modified = stored.modified.timestamp()
                yield FileEntry(place, path, stored.size, stored.etag, modified)


# What earlier backups have


class FileIndex:
    """Index of the files that the destination has, in a temporary database: a site may have millions."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE file (name TEXT PRIMARY KEY, sha256 TEXT, data TEXT) WITHOUT ROWID")
        self._rows.execute("CREATE TABLE object (name TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")

    def close(self) -> None:
        """Delete the index."""
        self._rows.close()

    def load_objects(self, archive: BackupArchive) -> None:
        """Read which objects are there."""
        self.add_objects((path, meta["size"]) for path, meta in archive.bucket.entries(OBJECTS))

    def add_objects(self, objects: Iterable[tuple[str, int]]) -> None:
        """Add the names and sizes of objects."""
        self._rows.executemany("INSERT OR REPLACE INTO object VALUES (?, ?)", objects)

    def load_lists(self, archive: BackupArchive, name: str, *, is_strict: bool = False) -> None:
        """Read which files a backup has, also one that was interrupted.

        A damaged list only costs copies. Raises Malformed for it if `is_strict`.
        """
        for path in archive.part_paths(name):
            if path.rpartition("/")[2].startswith(FILES):
                chunks = archive.bucket.chunks(archive.bucket.get(path))
                try:
                    self.add(FileEntry(*row) for row in unpack_lines(chunks, path))
                except Malformed:
                    if is_strict:
                        raise

    def add(self, entries: Iterable[FileEntry]) -> None:
        """Add files that are copied."""
        rows = ((entry.object_name, entry.sha256, entry.data) for entry in entries)
        self._rows.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", rows)

    def find(self, entry: FileEntry) -> FileEntry | None:
        """Return the file with its hash and content if the destination has it."""
        name = entry.object_name
        row = self._rows.execute("SELECT sha256, data FROM file WHERE name = ?", [name]).fetchone()
        if row is None or (row[1] is None and self.object_size(name) != entry.size):
            return None
        return entry._replace(sha256=row[0], data=row[1])

    def object_size(self, name: str) -> int | None:
        """Return the size of an object; None if it is missing."""
        found = self._rows.execute("SELECT size FROM object WHERE name = ?", [name]).fetchone()
        return found[0] if found else None

    def unused_objects(self) -> Iterator[str]:
        """Yield the objects that belong to none of the files."""
        query = "SELECT name FROM object WHERE name NOT IN (SELECT name FROM file WHERE data IS NULL)"
        return (name for (name,) in self._rows.execute(query).fetchall())


# Backup


class CopyCounts(NamedTuple):
    """Numbers of a copy. Files that were deleted during it are `removed`."""

    files: int = 0
    bytes: int = 0
    copied_files: int = 0
    copied_bytes: int = 0
    removed: int = 0

    def plus(self, entry: FileEntry, *, is_copied: bool) -> CopyCounts:
        """Return the numbers with one more file."""
        copied = (1, entry.size) if is_copied else (0, 0)
        return CopyCounts(
            self.files + 1,
            self.bytes + entry.size,
            self.copied_files + copied[0],
            self.copied_bytes + copied[1],
            self.removed,
        )


class StorageCopy:
    """Copy of files into one backup. `progress` gets the bytes of each copied file."""

    def __init__(
        self, archive: BackupArchive, name: str, known: FileIndex, progress: Callable[[int], object]
    ) -> None:
        self._archive, self._name, self._known = archive, name, known
        self._progress = progress
        self._open_spool = spool_for(archive.bucket)
        self.parts: list[BackupPart] = []
        self.counts = CopyCounts()

    def run(self, sources: Iterable[CopySource]) -> None:
        """Copy the files of sources that the destination does not have, and list all. Raises Unavailable."""
        pending: list[FileEntry] = []
        written = time.monotonic()
        for entry in self._copy_all(sources):
            pending.append(entry)
            if len(pending) >= PART_FILES or time.monotonic() - written > PART_SECONDS:
                self._write_part(pending)
                pending, written = [], time.monotonic()
        self._write_part(pending)

    def _write_part(self, entries: list[FileEntry]) -> None:
        if entries:
            part = f"{FILES}-{len(self.parts):05}"
            self.parts.append(self._archive.put(self._name, part, pack_lines(entries)))
            self._known.add(entries)

    def _copy_all(self, sources: Iterable[CopySource]) -> Iterator[FileEntry]:
        buckets = {source.place: source.bucket for source in sources}
        listed = (self._known.find(entry) or entry for entry in list_files(sources))
        results = run_threads(
            lambda entry: self._copy(buckets[entry.place], entry), listed, lambda entry: bool(entry.sha256)
        )
        for entry, copied in results:
            if copied is None:
                self.counts = self.counts._replace(removed=self.counts.removed + 1)
                continue
            is_copied = not entry.sha256
            self.counts = self.counts.plus(copied, is_copied=is_copied)
            if is_copied:
                self._progress(copied.size)
            yield copied

    def _copy(self, bucket: Bucket, entry: FileEntry) -> FileEntry | None:
        """Copy a file as it is now; return None if it was deleted since it was listed."""
        try:
            opened = bucket.get(entry.path)
            stored = stored_meta(opened.meta)
            entry = entry._replace(size=stored.size, etag=stored.etag, modified=stored.modified.timestamp())
            if stored.size <= SMALL_BYTES:
                content = b"".join(bucket.chunks(opened))
                digest = hashlib.sha256(content).hexdigest()
                return entry._replace(sha256=digest, data=b64encode(content).decode())
            size, digest = copy(
                lambda: bucket.chunks(opened),
                lambda chunks: self._archive.bucket.put(entry.object_name, chunks),
                self._open_spool,
            )
        except NotFound:
            return None
        if size != entry.size:
            raise Unavailable(f"{bucket.name}/{entry.path}: only {size:,} of {entry.size:,} bytes were read")
        return entry._replace(sha256=digest)


def spool_for(target: Bucket) -> Callable[[], Any] | None:
    """Return a function that opens a temporary file if objects of this target need one; else None."""
    if target.directory is not None and (file := nameless(target.directory)) is not None:
        file.close()
        return None
    return lambda: SpooledTemporaryFile(SPOOL_MEMORY_BYTES, dir=settings.SPOOL_DIR)


def run_threads(
    work: Callable[[FileEntry], FileEntry | None],
    entries: Iterable[FileEntry],
    is_done: Callable[[FileEntry], bool] = lambda _: False,
) -> Iterator[tuple[FileEntry, FileEntry | None]]:
    """Yield each entry with the result of `work`, as it is ready; with itself where nothing is to do."""
    pool = ThreadPoolExecutor(COPIERS)
    futures: dict[Future[FileEntry | None], FileEntry] = {}
    try:
        for entry in entries:
            if is_done(entry):
                yield entry, entry
                continue
            futures[pool.submit(work, entry)] = entry
            if len(futures) >= PENDING:
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    yield futures.pop(future), future.result()
        for future, entry in futures.items():
            yield entry, future.result()
    finally:
        pool.shutdown(cancel_futures=True)

"""Import of all files of a bucket or directory, in parts that are uploads of their own.

The objects are listed in the order of their paths and cut into parts at paths that only their own names
decide, so that a new object changes one part and no other. Each part is an upload, which is found again by a
hash of its paths, sizes and dates: a second run skips complete parts. In all others it skips each object
whose file the site has stored after the object was written. So an import that was interrupted continues, and
a file that a build machine has uploaded meanwhile stays.

Files have the dates of their objects, because retention counts from there. Nothing is converted: the first
request for a module does that.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from threading import Lock
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from tecken.errors import TeckenError, Unavailable
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.listing import ListedObject, ListedPlace
from tecken.storage.models import SymbolFile
from tecken.symbols.layouts import FileKey, FileType, storage_path
from tecken.upload.file_rows import RefusedFile, StoredFile, rows, warn_of_native_files
from tecken.upload.import_layouts import ImportedPath, parse_path
from tecken.upload.import_reader import Candidate, ImportJob, ObjectReader
from tecken.upload.ingest import (
    ContextThreads,
    adopt_file,
    record_file,
    run_in_threads,
    select_storage,
    store_file,
)
from tecken.upload.models import Protocol, Upload
from tecken.upload.origin import NO_ORIGIN, UploadOrigin
from tecken.upload.resolved import note_resolved
from tecken.upload.symstore_import import NOT_IMPORTED

# Objects of a part: one in PART_CUTS ends it, and at most MAX_PART are in one.
PART_CUTS: Final = 256
MAX_PART: Final = 1_000
# Without an answer for as many objects one after the other, the storage or the source is down.
MAX_UNANSWERED: Final = 20
LOCKS: Final = 64
Outcome = StoredFile | RefusedFile
Result = list[Outcome] | Exception | str
Report = Callable[[str, str, str], object]
"""Receives the path of an object, `ignored` or `failed`, and the reason."""


class ImportRules(NamedTuple):
    """Choice of objects, and what becomes of them.

    With `keep_dates` a file has the date of its object. `limit` bounds the objects that are stored in a run,
    0 is none. `bytes_per_second` bounds the reads of all threads together, 0 is none.
    """

    layout: str
    try_symbols: bool = False
    since: datetime | None = None
    keep_dates: bool = True
    limit: int = 0
    threads: int = 4
    bytes_per_second: float = 0.0
    origin: UploadOrigin = NO_ORIGIN


class ImportCounts(NamedTuple):
    """Numbers of objects. Of `present` objects, the site had the file already."""

    stored: int = 0
    present: int = 0
    ignored: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.stored:,} stored, {self.present:,} already there, "
            f"{self.ignored:,} ignored, {self.failed:,} failed"
        )


class ImportPlan:
    """Summary of the objects that an import would store or ignore."""

    def __init__(self) -> None:
        self.objects: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.present = 0
        self.ignored: Counter[str] = Counter()

    @property
    def total_bytes(self) -> int:
        """Bytes of all objects, as stored in their place."""
        return self.bytes.total()


class TreeImport:
    """Import from one place for one user."""

    def __init__(
        self,
        source: ListedPlace,
        user: User,
        rules: ImportRules,
        *,
        report: Report,
        progress: Callable[[int], object],
    ) -> None:
        self._source = source
        self._user = user
        self._rules = rules
        self._report = report
        self._progress = progress
        self._reader = ObjectReader(source, rules.bytes_per_second)
        self._counts: Counter[str] = Counter()
        self._unanswered = 0
        self._locks = [Lock() for _ in range(LOCKS)]

    @property
    def counts(self) -> ImportCounts:
        """Numbers of this run until now."""
        return ImportCounts(**{name: self._counts[name] for name in ImportCounts._fields})

    def plan(self, *, count_present: bool, report: Report) -> ImportPlan:
        """Return what an import would do. Raises Unavailable."""
        plan = ImportPlan()

        def ignore(path: str, kind: str, reason: str) -> None:
            plan.ignored[reason] += 1
            report(path, kind, reason)

        for part in self.parts(ignore):
            for candidate in part:
                plan.objects[candidate.kind] += 1
                plan.bytes[candidate.kind] += candidate.source.size
            self._progress(len(part))
            if count_present:
                plan.present += len(part) if self.find_complete(part) else len(_find_present(part))
        return plan

    def run(self) -> ImportCounts:
        """Import the objects that are missing. Raises Unavailable; a later run continues."""
        with ContextThreads(self._rules.threads, "import") as threads:
            for part in self.parts(self._ignore):
                self._import_part(part, threads)
                if self._is_at_limit():
                    break
        return self.counts

    # Choice of the objects

    def _ignore(self, path: str, kind: str, reason: str) -> None:
        self._counts[kind] += 1
        self._report(path, kind, reason)

    def parts(self, ignore: Report) -> Iterator[list[Candidate]]:
        """Yield the objects to import, in parts. `ignore` receives all others. Raises Unavailable."""
        part: list[Candidate] = []
        for candidate in self._candidates(ignore):
            if part and _ends_before(part, candidate):
                yield part
                part = []
            part.append(candidate)
        if part:
            yield part

    def _candidates(self, ignore: Report) -> Iterator[Candidate]:
        for found in self._source.objects():
            since = self._rules.since
            if since and not found.problem and found.modified < since:
                continue
            path = found.problem or parse_path(self._rules.layout, found.path)
            if isinstance(path, ImportedPath):
                path = path._replace(try_symbols=path.try_symbols or self._rules.try_symbols)
                path = self._find_obstacle(found, path) or path
            if isinstance(path, str):
                ignore(found.path, "failed" if found.is_lost else "ignored", path)
            else:
                yield Candidate(found, path)

    def _find_obstacle(self, found: ListedObject, path: ImportedPath) -> str:
        config = options()
        if found.size > config.symbol_max_bytes:
            return f"it has more bytes than symbol_max_bytes, {config.symbol_max_bytes:,}"
        name = "keep_try_days" if path.try_symbols else "keep_regular_days"
        days = getattr(config, name)
        if self._rules.keep_dates and found.modified < timezone.now() - timedelta(days=days):
            return f"it is older than {name}, {days}, and would be removed today: raise the option first"
        return ""

    # Import of a part

    def _import_part(self, part: list[Candidate], threads: ContextThreads) -> None:
        if self.find_complete(part):
            self._count_present(part)
            return
        present = _find_present(part)
        missing = [candidate for candidate in part if candidate.source.path not in present]
        self._count_present([candidate for candidate in part if candidate.source.path in present])
        is_cut = bool(self._rules.limit) and len(missing) > self._rules.limit - self._counts["stored"]
        if is_cut:
            missing = missing[: self._rules.limit - self._counts["stored"]]
        if not missing:
            return
        upload = self._open_upload(part, missing)
        failed_before = self._counts["failed"]
        for job, result in self._store_all(upload, missing, threads):
            self._record(upload, job, result)
        self._close_upload(upload, self._counts["failed"] - failed_before, is_cut=is_cut)

    def _count_present(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            self._counts["present"] += 1
            self._progress(candidate.source.size)

    def _is_at_limit(self) -> bool:
        return 0 < self._rules.limit <= self._counts["stored"]

    def find_complete(self, part: Sequence[Candidate]) -> Upload | None:
        """Return the upload of a part that was imported without a failure."""
        return self._uploads(part).exclude(completed_at=None).first()

    def _uploads(self, part: Sequence[Candidate]) -> QuerySet[Upload]:
        digest = self._digest(part)
        return Upload.objects.filter(
            filename=self._title(digest), content_hash=digest, user=self._user, protocol=Protocol.IMPORT
        )

    def _digest(self, part: Sequence[Candidate]) -> str:
        lines = [self._source.name, self._rules.layout, str(part[0].path.try_symbols)]
        for candidate in part:
            path, size, modified = candidate.source[:3]
            lines.append(f"{path} {size} {modified.timestamp()}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _title(self, digest: str) -> str:
        # With the hash, the index on names finds the upload among 100,000 of the same import.
        return f"import {digest[:16]} of {self._source.name}"[:255]

    def _open_upload(self, part: Sequence[Candidate], missing: Sequence[Candidate]) -> Upload:
        upload = self._uploads(part).first()
        if upload:
            Upload.objects.filter(pk=upload.pk).update(cancelled_at=None)
            return upload
        digest, try_symbols = self._digest(part), part[0].path.try_symbols
        newest = max(candidate.source.modified for candidate in part)
        return Upload.objects.create(
            user=self._user,
            protocol=Protocol.IMPORT,
            filename=self._title(digest),
            bucket_name=select_storage(try_symbols).name,
            try_symbols=try_symbols,
            content_hash=digest,
            size=sum(candidate.source.size for candidate in missing),
            members_total=len(missing),
            created_at=newest if self._rules.keep_dates else timezone.now(),
            **self._rules.origin._asdict(),
        )

    def _close_upload(self, upload: Upload, failed: int, *, is_cut: bool) -> None:
        warn_of_native_files(upload)
        upload.error = NOT_IMPORTED.format(failed) if failed else ""
        upload.completed_at = None if failed or is_cut else timezone.now()
        upload.save(update_fields=["error", "completed_at"])
        note_resolved(upload)

    def _record(self, upload: Upload, job: ImportJob, result: Result) -> None:
        """Write the rows of an object's files, with its date. Raises Unavailable after many failures."""
        source = job.candidate.source
        self._progress(source.size)
        reason = "" if isinstance(result, list) else str(result)
        for outcome in result if isinstance(result, list) else ():
            if isinstance(outcome, RefusedFile):
                reason = outcome.reason
                continue
            began = timezone.now()
            record_file(upload, outcome)
            if self._rules.keep_dates:
                # Also the rows of files that were made from it: of a CAB file, or of another processor.
                new = SymbolFile.objects.filter(upload=upload, created_at__gte=began)
                new.update(created_at=source.modified)
        self._counts["failed" if reason else "stored"] += 1
        if reason:
            self._report(source.path, "failed", reason)
        self._unanswered = self._unanswered + 1 if isinstance(result, Unavailable) else 0
        if self._unanswered >= MAX_UNANSWERED:
            raise Unavailable(f"{self._unanswered} objects in a row failed, the last one with: {reason}")

    # Reading and storing, in threads and without the database

    def _store_all(
        self, upload: Upload, missing: Sequence[Candidate], threads: ContextThreads
    ) -> Iterator[tuple[ImportJob, Result]]:
        """Yield each object with the outcomes of its files, or with why there are none."""
        named = {item: item.path.key for item in missing if item.path.key}
        known = rows(upload, named.values())
        jobs = (ImportJob(item, [key], known) for item, key in named.items())
        unnamed = (item for item in missing if item.path.key is None)
        located = self._locate_all(upload, unnamed, threads)
        store = partial(self._store, upload)
        return run_in_threads(threads, store, chain(jobs, located), self._rules.threads)

    def _locate_all(
        self, upload: Upload, candidates: Iterable[Candidate], threads: ContextThreads
    ) -> Iterator[ImportJob]:
        for _, job in run_in_threads(threads, self._reader.locate, candidates, self._rules.threads):
            yield job._replace(known=rows(upload, job.keys)) if job.keys else job

    def _store(self, upload: Upload, job: ImportJob) -> Result:
        if job.problem:
            return job.problem
        try:
            # Two objects may have one key: only the first to be stored may find no file there.
            with job.spool.file if job.spool else nullcontext():
                outcomes = []
                for key in job.keys:
                    with self._locks[zlib.crc32(str(key).encode()) % LOCKS]:
                        outcomes.append(self._store_one(upload, job, key))
                return outcomes
        except (TeckenError, OSError) as error:
            return error

    def _store_one(self, upload: Upload, job: ImportJob, key: FileKey) -> Outcome:
        source, known = job.candidate.source, job.known.get(storage_path(key), ())
        if job.spool:
            return store_file(upload, key, job.spool.read, job.spool.size, known)
        storage_services.disk_space().check(source.size)
        if self._is_in_place(source, key, upload.try_symbols):
            return adopt_file(upload, key)
        is_symbol_file = key.file_type is FileType.SYMBOL_FILE
        read_gzip = partial(self._reader.read_gzip, source) if is_symbol_file else None
        return store_file(
            upload, key, partial(self._reader.read, source, key), None, known, read_gzip=read_gzip
        )

    def _is_in_place(self, source: ListedObject, key: FileKey, try_symbols: bool) -> bool:
        """Return whether the object is where this site would store it."""
        prefix = "try/" if try_symbols else ""
        root = f"{self._source.name.rstrip('/')}/{prefix}".rstrip("/")
        is_own = select_storage(try_symbols).name.rstrip("/") == root
        return is_own and source.path == prefix + storage_path(key)


def _ends_before(part: Sequence[Candidate], candidate: Candidate) -> bool:
    last = part[-1]
    return (
        len(part) >= MAX_PART
        or last.path.try_symbols != candidate.path.try_symbols
        or zlib.crc32(last.source.path.encode()) % PART_CUTS == 0
    )


def _find_present(part: Sequence[Candidate]) -> set[str]:
    """Return the paths of objects whose file was stored here after they were written."""
    try_symbols = part[0].path.try_symbols
    paths = {storage_path(item.path.key): item.source for item in part if item.path.key}
    found = SymbolFile.objects.filter(
        key__in=list(paths), bucket_name=select_storage(try_symbols).name, replaced_by=None
    )
    times = found.values_list("key", "completed_at").iterator()
    return {paths[key].path for key, stored in times if stored and stored >= paths[key].modified}

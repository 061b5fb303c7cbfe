"""Import of a symbol store: each transaction becomes an upload, whose files are stored like those of others.

A second run finds the upload of a transaction by the transaction's hash and stores only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.utils import timezone

from tecken.errors import TeckenError, TooLarge, Unavailable
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.models import NAME_CHARACTERS
from tecken.symbols.layouts import FileKey, storage_path
from tecken.upload.file_rows import Outcome, RefusedFile, StoredFile, rows, warn_of_native_files
from tecken.upload.ingest import CHUNK_BYTES, record_file, select_storage, store_file
from tecken.upload.models import Protocol, Upload
from tecken.upload.origin import NO_ORIGIN, UploadOrigin
from tecken.upload.resolved import note_resolved
from tecken.upload.symstore import FileProblem, StoreFile, SymbolStore, Transaction

NOT_IMPORTED: Final = "{} files could not be imported"
Report = Callable[[FileProblem], object]
Progress = Callable[[int], object]


class Counts(NamedTuple):
    """Numbers of files. Of `present` files, this upload or another one has stored the same content."""

    stored: int = 0
    present: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.stored} stored, {self.present} already there, {self.failed} failed"


class StoreImport:
    """Import of one store for one user.

    `report` gets each file that cannot be imported, `progress` the number of each file's bytes.
    """

    def __init__(
        self,
        store: SymbolStore,
        user: User,
        *,
        try_symbols: bool,
        report: Report,
        progress: Progress,
        origin: UploadOrigin = NO_ORIGIN,
    ) -> None:
        self._store = store
        self._user = user
        self._try_symbols = try_symbols
        self._report = report
        self._origin = origin
        self._progress = progress

    def check(self, transaction: Transaction) -> Counts:
        """Return what an import would find, without storing it: `stored` counts files that are not there."""
        files, failed = self._files(transaction)
        upload = self._find_upload(transaction)
        known = _stored_paths(upload) if upload else set()
        present = sum(storage_path(file.key) in known for file in files)
        return Counts(len(files) - present, present, failed)

    def run(self, transaction: Transaction) -> Counts:
        """Store the files of a transaction. Raises Unavailable; a later run continues."""
        files, failed = self._files(transaction)
        upload = self._find_upload(transaction) or self._create_upload(transaction, files)
        known = _stored_paths(upload)
        missing = [file for file in files if storage_path(file.key) not in known]
        expected = {file.key for file in files}
        outcomes = [self._ingest(upload, file, expected) for file in missing]
        failed += outcomes.count(None)
        counts = Counts(
            outcomes.count("stored"), len(files) - len(missing) + outcomes.count("skipped"), failed
        )
        if missing or upload.completed_at is None:
            warn_of_native_files(upload)
            upload.error = NOT_IMPORTED.format(failed) if failed else ""
            upload.completed_at = None if failed else timezone.now()
            upload.save(update_fields=["error", "completed_at"])
            note_resolved(upload)
        return counts

    def _files(self, transaction: Transaction) -> tuple[list[StoreFile], int]:
        """Return the files of a transaction, each key once, and how many cannot be imported."""
        files: dict[FileKey, StoreFile] = {}
        failed = 0
        for entry in transaction.entries:
            for found in self._store.files(entry):
                if isinstance(found, FileProblem):
                    self._report(found)
                    failed += 1
                else:
                    files.setdefault(found.key, found)
        return list(files.values()), failed

    def _find_upload(self, transaction: Transaction) -> Upload | None:
        uploads = Upload.objects.filter(
            user=self._user,
            protocol=Protocol.IMPORT,
            content_hash=transaction.digest,
            try_symbols=self._try_symbols,
        )
        return uploads.order_by("pk").last()

    def _create_upload(self, transaction: Transaction, files: list[StoreFile]) -> Upload:
        return Upload.objects.create(
            user=self._user,
            protocol=Protocol.IMPORT,
            filename=f"symstore {transaction.title}"[:NAME_CHARACTERS],
            bucket_name=select_storage(self._try_symbols).name,
            try_symbols=self._try_symbols,
            content_hash=transaction.digest,
            size=sum(file.size for file in files),
            members_total=len(files),
            **self._origin._asdict(),
        )

    def _ingest(self, upload: Upload, file: StoreFile, expected: set[FileKey]) -> Outcome | None:
        """Store a file and return the outcome; None after an error, which is reported. Raises Unavailable."""
        try:
            outcome = _store_file(upload, file)
            if not isinstance(outcome, RefusedFile):
                record_file(upload, outcome, expected)
                return outcome.outcome
            reason = outcome.reason
        except Unavailable:
            raise
        except (TeckenError, OSError) as error:
            reason = str(error)
        finally:
            self._progress(file.size)
        self._report(FileProblem(str(file.key), reason))
        return None


def _stored_paths(upload: Upload) -> set[str]:
    return {*upload.skipped_keys, *upload.files.values_list("key", flat=True)}


def _store_file(upload: Upload, file: StoreFile) -> StoredFile | RefusedFile:
    limit = options().symbol_max_bytes
    if file.size > limit:
        raise TooLarge(f"it has {file.size} bytes, at most {limit}")
    storage_services.disk_space().check(file.size)
    known = rows(upload, [file.key]).get(storage_path(file.key), ())
    return store_file(upload, file.key, partial(_read, file.path), file.size, known)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk

"""Uploads of a zip archive, whose members are stored in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from itertools import islice
from typing import BinaryIO, Final
from zipfile import ZipFile

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from tecken import services
from tecken.errors import Conflict, Forbidden, InvalidInput, NotFound, TeckenError, Unavailable
from tecken.jobs import sending
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.storage.models import NAME_CHARACTERS
from tecken.symbols.layouts import storage_path
from tecken.upload.archive import (
    ArchiveLimits,
    ArchiveMember,
    Listing,
    is_reusable,
    list_members,
    open_archive,
    read_gzip,
    read_member,
)
from tecken.upload.file_rows import RefusedFile, StoredFile, StoredRow, record, rows, warn_of_native_files
from tecken.upload.form import CHUNK_BYTES, Archive
from tecken.upload.ingest import ContextThreads, open_staged, select_storage, store_file
from tecken.upload.models import Protocol, Upload

TASK: Final = "tecken.upload.tasks.keep_upload"


class Cancelled(InvalidInput):
    """Cancellation of an upload whose members are being stored."""


@services.per_process
def upload_threads() -> ContextThreads:
    """Return the process's threads. One pool for all uploads bounds the memory that their members need."""
    return ContextThreads(settings.UPLOAD_THREADS, "upload")


def begin(user: User, try_symbols: bool, archive: Archive) -> Upload:
    """Create the upload of an archive. Raise InvalidInput or TooLarge for an archive that is not allowed."""
    # The archive is checked before the row is written, so a refused archive leaves nothing in the database.
    with open_archive(archive.file, options().upload_max_members) as opened:
        listing = _list_members(opened)
    return Upload.objects.create(
        user=user,
        filename=archive.name[:NAME_CHARACTERS],
        bucket_name=select_storage(try_symbols).name,
        try_symbols=try_symbols,
        protocol=Protocol.V1,
        size=archive.size,
        content_hash=archive.digest,
        download_url=archive.download_url,
        redirect_urls=list(archive.redirect_urls),
        ignored_keys=listing.ignored,
        members_total=len(listing.members),
    )


def ingest_all(upload: Upload, file: BinaryIO) -> None:
    """Store each member that an earlier run has not stored, and complete the upload.

    Members that were stored before an error stay stored.

    Raises:
        InvalidInput: A member is broken.
        Cancelled: The user cancelled the upload.
        Conflict: Every member was refused.
        Unavailable: Storage did not answer.
    """
    try:
        with open_archive(file, options().upload_max_members) as archive:
            remaining = _find_remaining(upload, _list_members(archive).members)
            for outcome in _store_members(upload, archive, remaining):
                record(upload, outcome)
                _raise_if_cancelled(upload)
        raise_if_all_refused(upload)
        warn_of_native_files(upload)
    except TeckenError as error:
        _update(upload, error=str(error))
        raise
    _update(upload, error="", completed_at=timezone.now())


def stage(upload: Upload, file: BinaryIO) -> None:
    """Copy the archive to staging and send the job that stores its members. Raise Unavailable."""
    file.seek(0)
    try:
        storage_services.staging().put(_slot(upload), iter(partial(file.read, CHUNK_BYTES), b""))
        sending.send(TASK, [upload.pk])
    except Unavailable as error:
        # Without a job nothing would read the staged archive.
        _update(upload, error=str(error))
        storage_services.staging().delete(_slot(upload))
        raise


def ingest_staged(upload: Upload) -> None:
    """Store the members of a staged archive and delete it. Safe to repeat.

    Unavailable is raised before the archive is deleted, so that the job can be retried.
    """
    if upload.completed_at is None and upload.cancelled_at is None:
        try:
            with open_staged(_slot(upload)) as file:
                ingest_all(upload, file)
        except (InvalidInput, NotFound, Conflict) as error:
            _update(upload, error=str(error))
    storage_services.staging().delete(_slot(upload))


def raise_if_all_refused(upload: Upload) -> None:
    """Raise Conflict when `upload_replace` refused every file of an upload."""
    refused = [warning for warning in upload.warnings if warning.get("stored") is False]
    if refused and not upload.skipped_keys and not upload.files.exists():
        raise Conflict(
            f"None of {len(refused)} files is stored; {refused[0]['key']}: {refused[0]['message']}"
        )


def cancel(upload: Upload, user: User) -> None:
    """Cancel an unfinished upload. Files that are stored stay.

    Raises:
        Forbidden: The upload is of another user.
        InvalidInput: The upload is complete or cancelled.
    """
    if upload.user != user:
        raise Forbidden("Only who began an upload can cancel it")
    # One UPDATE with its condition: a worker that completes the upload at the same time cannot be
    # overwritten.
    unfinished = Upload.objects.filter(pk=upload.pk, completed_at=None, cancelled_at=None)
    if not unfinished.update(cancelled_at=timezone.now()):
        raise InvalidInput("The upload is over")
    upload.refresh_from_db()


def _slot(upload: Upload) -> Slot:
    return Slot(upload.pk, 0)


def _list_members(archive: ZipFile) -> Listing:
    config = options()
    limits = ArchiveLimits(
        config.upload_max_unpacked_bytes,
        config.symbol_max_bytes,
        config.upload_max_members,
        config.upload_max_ratio,
    )
    return list_members(archive.infolist(), limits, config.upload_forbidden_snippets)


def _find_remaining(upload: Upload, members: Iterable[ArchiveMember]) -> list[ArchiveMember]:
    """Return the members that an earlier, interrupted run has not stored."""
    done = {*upload.skipped_keys, *upload.files.values_list("key", flat=True)}
    return [member for member in members if storage_path(member.key) not in done]


def _store_members(
    upload: Upload, archive: ZipFile, members: list[ArchiveMember]
) -> Iterator[StoredFile | RefusedFile]:
    """Store members in parallel and yield each result as soon as it is there."""
    known = rows(upload, (member.key for member in members))
    # Large members start first, so that none of them runs alone at the end.
    waiting = iter(sorted(members, key=lambda member: member.info.file_size, reverse=True))
    running: set[Future[StoredFile | RefusedFile]] = set()
    try:
        while True:
            # No more than the threads can run: after an error or a cancellation nothing is left in the pool's
            # queue.
            for member in islice(waiting, settings.UPLOAD_THREADS - len(running)):
                running.add(upload_threads().submit(_store_member, upload, archive, member, known))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        # Running tasks read the archive, which the caller closes next.
        wait(running)


def _store_member(
    upload: Upload, archive: ZipFile, member: ArchiveMember, known: dict[str, list[StoredRow]]
) -> StoredFile | RefusedFile:
    return store_file(
        upload,
        member.key,
        partial(read_member, archive, member),
        member.info.file_size,
        known.get(storage_path(member.key), ()),
        read_gzip=partial(read_gzip, archive, member) if is_reusable(member.info) else None,
    )


def _raise_if_cancelled(upload: Upload) -> None:
    if not Upload.objects.filter(pk=upload.pk, cancelled_at=None).exists():
        raise Cancelled("The upload was cancelled")


def _update(upload: Upload, **columns: object) -> None:
    # Only these columns: a save of the whole row would undo a cancellation made in the meantime.
    Upload.objects.filter(pk=upload.pk).update(**columns)
    upload.refresh_from_db()

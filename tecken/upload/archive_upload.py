"""Uploads of an archive or of a single file. Members are stored in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, Final, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from tecken import services
from tecken.errors import Conflict, Forbidden, InvalidInput, NotFound, TeckenError, Unavailable
from tecken.http.form import CHUNK_BYTES
from tecken.jobs import sending
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.storage.models import NAME_CHARACTERS
from tecken.symbols.layouts import storage_path
from tecken.upload.archive import PATTERN, ArchiveLimits, IgnoredFile, KeyedMember, Listing, list_members
from tecken.upload.containers import Unpacking, open_archive
from tecken.upload.file_rows import (
    RefusedFile,
    StoredFile,
    StoredRow,
    record_ignored,
    rows,
    warn_of_native_files,
)
from tecken.upload.form import Archive
from tecken.upload.ingest import (
    ContextThreads,
    open_staged,
    record_file,
    run_in_threads,
    select_storage,
    store_file,
)
from tecken.upload.models import Protocol, Upload
from tecken.upload.origin import NO_ORIGIN, UploadOrigin
from tecken.upload.placement import NO_FORMAT, merge_placed, place
from tecken.upload.resolved import note_resolved

T = TypeVar("T")
R = TypeVar("R")
TASK: Final = "tecken.upload.tasks.keep_upload"


class Cancelled(InvalidInput):
    """Cancellation of an upload whose members are being stored."""


@services.per_process
def upload_threads() -> ContextThreads:
    """Return the process's threads. One pool for all uploads bounds the memory that their members need."""
    return ContextThreads(settings.UPLOAD_THREADS, "upload")


@contextmanager
def open_listed(file: BinaryIO, name: str) -> Iterator[Listing]:
    """Open an archive, or a single file, and list its members, which can be read until the end of the block.

    Raises:
        InvalidInput: The archive is not allowed, or the file is of no known kind.
        TooLarge: The archive exceeds a limit.
        Unavailable: The disk has no room for what a compressed archive unpacks to.
    """
    config = options()
    limits = ArchiveLimits(
        config.upload_max_unpacked_bytes,
        config.symbol_max_bytes,
        config.upload_max_members,
        config.upload_max_ratio,
    )
    with open_archive(file, name, Unpacking(limits, storage_services.disk_space().check)) as opened:
        yield list_members(opened, limits, config.upload_forbidden_snippets)


def begin(
    user: User, try_symbols: bool, archive: Archive, listing: Listing, origin: UploadOrigin = NO_ORIGIN
) -> Upload:
    """Create the upload of an archive. A refused archive has no listing, so it leaves nothing behind."""
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
        ignored_keys=[file.name for file in listing.ignored],
        members_total=len(listing.members) + len(listing.flat),
        **origin._asdict(),
    )


def ingest_all(upload: Upload, listing: Listing) -> None:
    """Store each member that an earlier run has not stored, and complete the upload.

    Members that were stored before an error stay stored.

    Raises:
        InvalidInput: A member is broken, or no member can be stored.
        Cancelled: The user cancelled the upload.
        Conflict: Every member was refused.
        Unavailable: Storage did not answer.
    """
    try:
        members = _find_keys(upload, listing)
        keys = {member.key for member in members}
        for outcome in _store_members(upload, _find_remaining(upload, members)):
            record_file(upload, outcome, keys)
            _raise_if_cancelled(upload)
        raise_if_all_refused(upload)
        warn_of_native_files(upload)
    except TeckenError as error:
        _update(upload, error=str(error))
        raise
    _update(upload, error="", completed_at=timezone.now())
    note_resolved(upload)


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
            with open_staged(_slot(upload)) as file, open_listed(file, upload.filename) as listing:
                ingest_all(upload, listing)
        except (InvalidInput, NotFound, Conflict) as error:
            _update(upload, error=str(error))
    storage_services.staging().delete(_slot(upload))


def raise_if_all_refused(upload: Upload) -> None:
    """Raise an error when an upload has stored nothing.

    Raises:
        Conflict: `upload_replace` refused every file.
        InvalidInput: No file can be stored.
    """
    refused = [warning for warning in upload.warnings if warning.get("stored") is False]
    if not refused or upload.skipped_keys or upload.files.exists():
        return
    first = f"{refused[0]['key']}: {refused[0]['message']}"
    if any(warning["key"] not in upload.ignored_keys for warning in refused):
        raise Conflict(f"None of {len(refused)} files is stored; {first}")
    if refused[0]["message"].endswith(NO_FORMAT):
        raise InvalidInput(f"{PATTERN.format(refused[0]['key'])}. Files in other paths need a known format")
    raise InvalidInput(f"No file can be stored. {first}")


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


def _find_keys(upload: Upload, listing: Listing) -> list[KeyedMember]:
    """Return all files to store with their keys, and record those that cannot be stored."""
    placed, ignored = [], list(listing.ignored)
    for flat, placement in _run_in_threads(place, listing.flat):
        _raise_if_cancelled(upload)
        if isinstance(placement, str):
            ignored.append(IgnoredFile(flat.member.name, placement))
        else:
            placed.append((flat, placement))
    # The threads end in any order, and the first of several equal files is stored.
    placed.sort(key=lambda pair: pair[0].member.name)
    members, duplicates = merge_placed(listing.members, placed)
    record_ignored(upload, sorted([*ignored, *duplicates]))
    _update(upload, members_total=len(members))
    return members


def _find_remaining(upload: Upload, members: Iterable[KeyedMember]) -> list[KeyedMember]:
    """Return the members that an earlier, interrupted run has not stored."""
    done = {*upload.skipped_keys, *upload.files.values_list("key", flat=True)}
    return [member for member in members if storage_path(member.key) not in done]


def _store_members(upload: Upload, members: Sequence[KeyedMember]) -> Iterator[StoredFile | RefusedFile]:
    """Store members in parallel and yield each result as soon as it is there."""
    known = rows(upload, (member.key for member in members))
    # Large members start first, so that none of them runs alone at the end.
    ordered = sorted(members, key=lambda entry: entry.member.size, reverse=True)
    for _, outcome in _run_in_threads(partial(_store_member, upload, known), ordered):
        yield outcome


def _run_in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    return run_in_threads(upload_threads(), function, items, settings.UPLOAD_THREADS)


def _store_member(
    upload: Upload, known: dict[str, list[StoredRow]], entry: KeyedMember
) -> StoredFile | RefusedFile:
    member = entry.member
    return store_file(
        upload,
        entry.key,
        member.read,
        member.size,
        known.get(storage_path(entry.key), ()),
        read_gzip=member.read_gzip if member.is_reusable else None,
    )


def _raise_if_cancelled(upload: Upload) -> None:
    if not Upload.objects.filter(pk=upload.pk, cancelled_at=None).exists():
        raise Cancelled("The upload was cancelled")


def _update(upload: Upload, **columns: object) -> None:
    # Only these columns: a save of the whole row would undo a cancellation made in the meantime.
    Upload.objects.filter(pk=upload.pk).update(**columns)
    upload.refresh_from_db()

"""Uploads whose files the client sends one by one, to storage itself where that has signed URLs.

Each file has a slot in staging. When the client has sent all files, it completes the upload: each staged file
is read once more, checked and stored. A repeated completion returns the same result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from hashlib import md5
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.core import signing
from django.db import transaction
from django.utils import timezone

from tecken.errors import Forbidden, InvalidInput, NotFound
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.storage.port import OwnFiles
from tecken.symbols.decompression import decompress
from tecken.symbols.layouts import FileKey, storage_path
from tecken.upload.archive import file_key
from tecken.upload.archive_upload import raise_if_all_refused
from tecken.upload.file_rows import RefusedFile, StoredFile, StoredRow, rows, warn_of_native_files
from tecken.upload.ingest import (
    ContextThreads,
    open_staged,
    read_chunks,
    record_file,
    select_storage,
    store_file,
)
from tecken.upload.models import Announcement, Protocol, Upload
from tecken.upload.origin import NO_ORIGIN, UploadOrigin
from tecken.upload.resolved import note_resolved

MD5: Final = re.compile(r"[0-9a-f]{32}")
# Part of the data: a signed address outlives an upgrade.
SALT: Final = "tecken.upload.direct"
THREADS: Final = 4
# Bytes that compression may add to a file that it cannot compress.
GZIP_OVERHEAD: Final = 64 << 10


class AnnouncedFile(NamedTuple):
    """File that a client announces: key, size in bytes and MD5 (lower-case hex) before compression."""

    key: str
    size: int
    md5_hash: str


class ExpectedFile(NamedTuple):
    """Announced file that passed all checks; size in bytes and MD5 before compression."""

    key: FileKey
    size: int
    md5_hash: str


class UploadAction(NamedTuple):
    """Action for an announced file: send `file` to `slot`, report `error`, or (neither) skip it."""

    slot: Slot | None = None
    file: ExpectedFile | None = None
    error: str = ""


def begin(
    user: User, try_symbols: bool, announced: Sequence[AnnouncedFile], origin: UploadOrigin = NO_ORIGIN
) -> tuple[Upload, list[UploadAction]]:
    """Create an upload and return it with one action for each announced file. Raise Unavailable.

    The upload is complete at once when no file has to be sent.
    """
    upload = Upload(
        user=user,
        protocol=Protocol.V2,
        bucket_name=select_storage(try_symbols).name,
        try_symbols=try_symbols,
        **origin._asdict(),
    )
    checked = _check_files(announced)
    valid = [file for file in checked if isinstance(file, ExpectedFile)]
    stored = _find_stored(upload, valid)
    expected = [file for file in valid if file not in stored]
    upload.size = sum(file.size for file in expected)
    upload.skipped_keys = sorted(storage_path(file.key) for file in stored)
    upload.members_total = len(expected)
    upload.completed_at = None if expected else timezone.now()
    # One transaction: an upload without its announcement could never be completed.
    with transaction.atomic():
        upload.save()
        if expected:
            Announcement.objects.create(upload=upload, files=expected)
        else:
            warn_of_native_files(upload)
    return upload, list(_build_actions(upload, checked, expected))


def _check_files(announced: Sequence[AnnouncedFile]) -> list[ExpectedFile | str]:
    """Return for each announced file the expected file, or the error text."""
    seen: set[FileKey] = set()
    results: list[ExpectedFile | str] = []
    for file in announced:
        try:
            results.append(_check_file(file, seen))
        except InvalidInput as error:
            results.append(str(error))
    return results


def _check_file(file: AnnouncedFile, seen: set[FileKey]) -> ExpectedFile:
    key = _parse_key(file.key)
    if not MD5.fullmatch(file.md5_hash):
        raise InvalidInput("invalid MD5 hex digest")
    limit = options().symbol_max_bytes
    if not 0 <= file.size <= limit:
        raise InvalidInput(f"invalid size: 0 to {limit} bytes")
    if key in seen:
        raise InvalidInput("the key is there twice")
    seen.add(key)
    return ExpectedFile(key, file.size, file.md5_hash)


def _parse_key(text: str) -> FileKey:
    try:
        return file_key(text)
    except InvalidInput:
        raise InvalidInput("invalid key") from None


def _find_stored(upload: Upload, files: Sequence[ExpectedFile]) -> set[ExpectedFile]:
    """Return the files that are stored with the same bytes."""
    known = rows(upload, [file.key for file in files])
    sizes = {key: {row.content.size for row in some} for key, some in known.items()}
    # Reading a stored file is expensive, and one of another size cannot have the same bytes.
    candidates = [file for file in files if file.size in sizes.get(storage_path(file.key), ())]
    with ContextThreads(THREADS) as pool:
        results = pool.map(partial(_is_stored, select_storage(upload.try_symbols)), candidates)
        return {file for file, is_stored in zip(candidates, results, strict=True) if is_stored}


def _is_stored(files: OwnFiles, file: ExpectedFile) -> bool:
    try:
        with files.read(file.key) as stored:
            for _ in check_content(stored, file):
                pass
    except (NotFound, InvalidInput):
        return False
    return True


def _build_actions(
    upload: Upload, checked: Sequence[ExpectedFile | str], expected: Sequence[ExpectedFile]
) -> Iterator[UploadAction]:
    slots = {file: Slot(upload.pk, number) for number, file in enumerate(expected)}
    for file in checked:
        if isinstance(file, str):
            yield UploadAction(error=file)
        else:
            yield UploadAction(slots[file], file) if file in slots else UploadAction()


def check_content(sent: Iterable[bytes], file: ExpectedFile) -> Iterator[bytes]:
    """Yield the file's unpacked bytes. Raise InvalidInput at their end when size or MD5 is another one."""
    digest, size = md5(usedforsecurity=False), 0
    for chunk in decompress(sent, file.size) if file.key.file_type.is_compressed else sent:
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != file.size:
        raise InvalidInput(f"it has {size} bytes, not {file.size}")
    if digest.hexdigest() != file.md5_hash:
        raise InvalidInput(f"its MD5 hash is {digest.hexdigest()}, not {file.md5_hash}")


def sign_slot(slot: Slot, limit: int) -> str:
    """Return a key that allows its holder to send `limit` bytes to `slot` until the upload is complete."""
    return signing.dumps([*slot, limit], salt=SALT)


def open_slot(signed: str) -> tuple[Slot, int]:
    """Return the slot of a signed key and the bytes that it takes. Raise Forbidden."""
    max_age = timedelta(seconds=options().upload_direct_seconds)
    try:
        upload, number, limit = signing.loads(signed, salt=SALT, max_age=max_age)
    except signing.SignatureExpired:
        raise Forbidden("This address has expired") from None
    except signing.BadSignature:
        raise Forbidden("Nobody was given this address") from None
    # A signed address stays valid until it expires, so the state of the upload is checked as well.
    if not Upload.objects.filter(pk=upload, completed_at=None, cancelled_at=None).exists():
        raise Forbidden("This upload takes no more files")
    return Slot(upload, number), limit


def receive(signed: str, body: Callable[[int], Iterator[bytes]]) -> None:
    """Write a body to its slot. Raise Forbidden, or what `body` raises.

    Args:
        signed: The key that `sign_slot` returned.
        body: A function that takes the limit in bytes and returns the chunks.
    """
    slot, limit = open_slot(signed)
    storage_services.staging().put(slot, body(limit))


def max_body_bytes(file: ExpectedFile) -> int:
    """Return how many bytes a client may send for a file."""
    return file.size + (GZIP_OVERHEAD if file.key.file_type.is_compressed else 0)


def complete(upload: Upload) -> dict[str, str]:
    """Store the files that the client has sent, and return the error text of each other one by its key.

    The result is empty when all files are stored and the upload is complete. Files that an earlier call
    stored are not read again. Raises Unavailable, and Conflict when every file was refused.
    """
    announcement = Announcement.objects.filter(upload=upload).first()
    if announcement is not None:
        files = [ExpectedFile(FileKey(*key), size, digest) for key, size, digest in announcement.files]
        problems = _ingest_files(upload, files) if upload.completed_at is None else {}
        if problems:
            return problems
        warn_of_native_files(upload)
        _finish(upload, range(len(files)))
    raise_if_all_refused(upload)
    return {}


def _ingest_files(upload: Upload, files: Sequence[ExpectedFile]) -> dict[str, str]:
    """Store files in several threads. Rows are written in this thread, which has the database connection."""
    known = rows(upload, [file.key for file in files])
    done = {*upload.files.values_list("key", flat=True), *upload.skipped_keys}
    slots = {
        Slot(upload.pk, number): file
        for number, file in enumerate(files)
        if storage_path(file.key) not in done
    }
    problems = {}
    with ContextThreads(THREADS) as pool:
        outcomes = pool.map(partial(_store_slot, upload, known), slots, slots.values())
        for file, outcome in zip(slots.values(), outcomes, strict=True):
            if isinstance(outcome, str):
                problems[str(file.key)] = outcome
            else:
                record_file(upload, outcome, [file.key for file in files])
    return problems


def _store_slot(
    upload: Upload, known: Mapping[str, Sequence[StoredRow]], slot: Slot, file: ExpectedFile
) -> StoredFile | RefusedFile | str:
    """Return the result for a staged file, or an error text."""
    try:
        with open_staged(slot) as spool:
            return store_file(
                upload,
                file.key,
                lambda: check_content(read_chunks(spool), file),
                file.size,
                known.get(storage_path(file.key), ()),
            )
    except NotFound:
        return "it was not sent"
    except InvalidInput as error:
        return str(error)


def _finish(upload: Upload, numbers: Iterable[int]) -> None:
    # The announcement is deleted last. A call that is killed before that leaves it, and the next call runs
    # this again.
    Upload.objects.filter(pk=upload.pk, completed_at=None).update(completed_at=timezone.now())
    for number in numbers:
        storage_services.staging().delete(Slot(upload.pk, number))
    Announcement.objects.filter(upload=upload).delete()
    upload.refresh_from_db()
    note_resolved(upload)

"""A whole archive: its members are kept side by side, and written down as they are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from typing import BinaryIO, Final
from zipfile import ZipFile

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from tecken import wiring
from tecken.errors import Absent, BadInput, Conflict, CouldNotAsk, NotAllowed, TeckenError
from tecken.runtimeconfig.current import options
from tecken.storage.backends.staging import Slot
from tecken.storage.models import NAME_CHARACTERS
from tecken.upload.archive import Limits, Listing, Member, content, listing, opened
from tecken.upload.file_rows import Kept, Refused, Row, path, record, rows, warn_of_native_files
from tecken.upload.form import CHUNK_BYTES, Archive
from tecken.upload.ingest import storage, store
from tecken.upload.models import Protocol, Upload
from tecken.upload.staged import staged
from tecken.upload.threads import submit

TASK: Final = "tecken.upload.tasks.keep_upload"


class Cancelled(BadInput):
    """Somebody cancelled the upload while it went on."""


@wiring.once
def threads() -> ThreadPoolExecutor:
    """Of the whole process: they bound its memory, however many uploads there are at once."""
    return ThreadPoolExecutor(settings.UPLOAD_THREADS, "upload")


def begin(user: User, try_symbols: bool, archive: Archive) -> Upload:
    """Raises BadInput or TooMuch for an archive that we do not take, and writes nothing then."""
    with opened(archive.file, options().upload_max_members) as opened_archive:
        found = _listing(opened_archive)
    return Upload.objects.create(
        user=user,
        filename=archive.name[:NAME_CHARACTERS],
        bucket_name=storage(try_symbols).name,
        try_symbols=try_symbols,
        protocol=Protocol.V1,
        size=archive.size,
        content_hash=archive.digest,
        download_url=archive.download_url,
        redirect_urls=list(archive.redirect_urls),
        ignored_keys=found.ignored,
        members_total=len(found.members),
    )


def keep_all(upload: Upload, file: BinaryIO) -> None:
    """Keep every member that this upload has not kept before; the upload is complete then.

    Raises BadInput for a broken member, Cancelled, CouldNotAsk; what is kept until then stays kept. Raises
    Conflict when every member was refused.
    """
    try:
        with opened(file, options().upload_max_members) as archive:
            for kept in _stored(upload, archive, _left(upload, _listing(archive).members)):
                record(upload, kept)
                _stop_if_cancelled(upload)
        refuse_if_all_were(upload)
        warn_of_native_files(upload)
    except TeckenError as error:
        _close(upload, error=str(error))
        raise
    _close(upload, error="", completed_at=timezone.now())


def stage(upload: Upload, file: BinaryIO) -> None:
    """Leave the archive to a worker. Raises CouldNotAsk, and then nothing of it stays."""
    file.seek(0)
    try:
        wiring.staging().put(_slot(upload), iter(partial(file.read, CHUNK_BYTES), b""))
        wiring.send(TASK, [upload.pk])
    except CouldNotAsk as error:
        _close(upload, error=str(error))
        wiring.staging().delete(_slot(upload))
        raise


def keep_staged(upload: Upload) -> None:
    """The worker's side; safe to repeat. Raises CouldNotAsk, and then the archive stays for the next try."""
    if upload.completed_at is None and upload.cancelled_at is None:
        try:
            with staged(_slot(upload)) as file:
                keep_all(upload, file)
        except (BadInput, Absent, Conflict) as error:
            _close(upload, error=str(error))
    wiring.staging().delete(_slot(upload))


def refuse_if_all_were(upload: Upload) -> None:
    """Raise Conflict when nothing of an upload is stored because of `upload_replace`."""
    refused = [one for one in upload.warnings if one.get("stored") is False]
    if refused and not upload.skipped_keys and not upload.files.exists():
        raise Conflict(
            f"None of {len(refused)} files is stored; {refused[0]['key']}: {refused[0]['message']}"
        )


def cancel(upload: Upload, user: User) -> None:
    """What is stored already stays. Raises NotAllowed for another's upload, BadInput for one that is over."""
    if upload.user != user:
        raise NotAllowed("Only who began an upload can cancel it")
    going_on = Upload.objects.filter(pk=upload.pk, completed_at=None, cancelled_at=None)
    if not going_on.update(cancelled_at=timezone.now()):
        raise BadInput("The upload is over")
    upload.refresh_from_db()


def _slot(upload: Upload) -> Slot:
    return Slot(upload.pk, 0)


def _listing(archive: ZipFile) -> Listing:
    now = options()
    limits = Limits(
        now.upload_max_unpacked_bytes, now.symbol_max_bytes, now.upload_max_members, now.upload_max_ratio
    )
    return listing(archive.infolist(), limits, now.upload_forbidden_snippets)


def _left(upload: Upload, members: Iterable[Member]) -> list[Member]:
    """Without what an earlier, interrupted turn has done."""
    done = {*upload.skipped_keys, *upload.files.values_list("key", flat=True)}
    return [member for member in members if path(member.key) not in done]


def _stored(upload: Upload, archive: ZipFile, members: list[Member]) -> Iterator[Kept | Refused]:
    """In the order they are done, largest first, so that none is left to run alone at the end."""
    known = rows(upload, (member.key for member in members))
    waiting = iter(sorted(members, key=lambda member: member.info.file_size, reverse=True))
    running: set[Future[Kept | Refused]] = set()
    try:
        while True:
            for member in islice(waiting, settings.UPLOAD_THREADS - len(running)):
                running.add(submit(threads(), _store, upload, archive, member, known))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
    finally:
        wait(running)  # they read the archive, which is closed next


def _store(upload: Upload, archive: ZipFile, member: Member, known: dict[str, list[Row]]) -> Kept | Refused:
    read = partial(content, archive, member)
    return store(upload, member.key, read, member.info.file_size, known.get(path(member.key), ()))


def _stop_if_cancelled(upload: Upload) -> None:
    if not Upload.objects.filter(pk=upload.pk, cancelled_at=None).exists():
        raise Cancelled("The upload was cancelled")


def _close(upload: Upload, **columns: object) -> None:
    Upload.objects.filter(pk=upload.pk).update(**columns)
    upload.refresh_from_db()

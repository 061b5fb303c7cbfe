"""Uploads of one file whose name comes with it, or after it: what the client `sym_upload` sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from django.contrib.auth.models import User
from django.utils import timezone

from tecken.errors import Absent, BadInput, Conflict
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.staging import Slot
from tecken.symbols.decompression import decoded
from tecken.symbols.filetypes import FileType
from tecken.upload.file_rows import Outcome, warn_of_native_files
from tecken.upload.ingest import keep, storage
from tecken.upload.models import Protocol, Upload
from tecken.upload.staged import chunks, staged
from tecken.upload.sym_upload import Named, check


def begin(user: User, try_symbols: bool, filename: str = "") -> Upload:
    return Upload.objects.create(
        user=user,
        protocol=Protocol.SYM_UPLOAD,
        filename=filename,
        bucket_name=storage(try_symbols).name,
        try_symbols=try_symbols,
        members_total=1,
    )


def take(upload: Upload, named: Named, raw: Callable[[], Iterable[bytes]]) -> Outcome:
    """Keep a file that came with the request; `raw` may be called three times."""
    return _keep(upload, named, raw)


def complete(upload: Upload, named: Named, pay: Callable[[int], None]) -> Outcome:
    """Keep what lies in the upload's slot; the same answer when that was done before.

    `pay` is told its size in bytes first. What it raises leaves the slot as it is: complete it again later.
    """
    slot = Slot(upload.pk, 0)
    outcome = _outcome(upload) if upload.completed_at else _keep_staged(upload, named, slot, pay)
    storage_services.staging().delete(slot)
    return outcome


def _keep_staged(upload: Upload, named: Named, slot: Slot, pay: Callable[[int], None]) -> Outcome:
    try:
        with staged(slot) as spool:
            pay(spool.tell())
            return _keep(upload, named, partial(chunks, spool))
    except Absent:
        raise BadInput("The file was not sent") from None


def _keep(upload: Upload, named: Named, raw: Callable[[], Iterable[bytes]]) -> Outcome:
    read = partial(_content, raw, named)
    try:
        upload.size = sum(map(len, read()))
        outcome = keep(upload, named.key, read, upload.size)
        warn_of_native_files(upload)
    except (BadInput, Conflict) as error:
        upload.error = str(error)
        upload.save(update_fields=["error"])
        raise
    upload.error, upload.completed_at = "", timezone.now()
    upload.save(update_fields=["size", "error", "completed_at"])
    return outcome


def _content(raw: Callable[[], Iterable[bytes]], named: Named) -> Iterator[bytes]:
    if named.file_type is FileType.BREAKPAD:
        return check(decoded(raw(), options().symbol_max_bytes), named)
    return iter(raw())


def _outcome(upload: Upload) -> Outcome:
    return "skipped" if upload.skipped_keys else "stored"

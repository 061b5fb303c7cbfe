"""Uploads of one file by the client `sym_upload`, which sends the file's name in the form or afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.utils import timezone

from tecken.errors import Conflict, InvalidInput, Malformed, NotFound
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.symbols.decompression import decompress
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import ObjectId, normal_debug_id
from tecken.symbols.layouts import FileKey, file_of
from tecken.upload.file_rows import Outcome, warn_of_native_files
from tecken.upload.ingest import ingest_file, open_staged, read_chunks, select_storage
from tecken.upload.models import Protocol, Upload

LONGEST_RECORD: Final = 4096


class NamedFile(NamedTuple):
    """Object and type that a client declares for its file."""

    module: ObjectId
    file_type: FileType

    @property
    def key(self) -> FileKey:
        """Return the key under which the file is stored."""
        return file_of(self.module, self.file_type)


def begin(user: User, try_symbols: bool, filename: str = "") -> Upload:
    """Create an upload of one file."""
    return Upload.objects.create(
        user=user,
        protocol=Protocol.SYM_UPLOAD,
        filename=filename,
        bucket_name=select_storage(try_symbols).name,
        try_symbols=try_symbols,
        members_total=1,
    )


def ingest_sent(upload: Upload, file: NamedFile, read: Callable[[], Iterable[bytes]]) -> Outcome:
    """Store a file and complete its upload. `read` returns the sent bytes and may be called three times."""
    content = partial(_read_content, read, file)
    # Read once before it is stored: a file whose MODULE record names another module must not replace the
    # stored one.
    try:
        upload.size = sum(map(len, content()))
        outcome = ingest_file(upload, file.key, content, upload.size)
        warn_of_native_files(upload)
    except (InvalidInput, Conflict) as error:
        upload.error = str(error)
        upload.save(update_fields=["error"])
        raise
    upload.error, upload.completed_at = "", timezone.now()
    upload.save(update_fields=["size", "error", "completed_at"])
    return outcome


def complete(upload: Upload, file: NamedFile, charge: Callable[[int], None]) -> Outcome:
    """Store the staged file of an upload. A repeated call returns the same result.

    `charge` is called with the file's size in bytes before the file is stored. If it raises an error, the
    file stays in staging and can be completed later.
    """
    slot = Slot(upload.pk, 0)
    if upload.completed_at:
        outcome: Outcome = "skipped" if upload.skipped_keys else "stored"
    else:
        outcome = _ingest_staged(upload, file, slot, charge)
    # Also after an earlier call: that one may have been killed before it deleted the staged file.
    storage_services.staging().delete(slot)
    return outcome


def _ingest_staged(upload: Upload, file: NamedFile, slot: Slot, charge: Callable[[int], None]) -> Outcome:
    try:
        with open_staged(slot) as spool:
            charge(spool.tell())
            return ingest_sent(upload, file, partial(read_chunks, spool))
    except NotFound:
        raise InvalidInput("The file was not sent") from None


def _read_content(read: Callable[[], Iterable[bytes]], file: NamedFile) -> Iterator[bytes]:
    if file.file_type is FileType.SYMBOL_FILE:
        return check_module_record(decompress(read(), options().symbol_max_bytes), file)
    return iter(read())


def check_module_record(text: Iterable[bytes], file: NamedFile) -> Iterator[bytes]:
    """Yield the text of a symbol file. Raise Malformed when its MODULE record has another debug id."""
    chunks = iter(text)
    start = b""
    while b"\n" not in start and len(start) < LONGEST_RECORD and (chunk := next(chunks, None)) is not None:
        start += chunk
    record = start.partition(b"\n")[0].decode(errors="replace").split()
    if record[:1] != ["MODULE"] or list(map(normal_debug_id, record[3:4])) != [file.module.debug_id]:
        raise Malformed(f"The file does not begin with the MODULE record of debug id {file.module.debug_id}")
    yield start
    yield from chunks

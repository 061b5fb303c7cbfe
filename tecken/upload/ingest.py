"""Storage of one uploaded file, unless the same file is stored already.

The order of writes is: store the file, remove everything that was derived from the former file, write the
row. A row therefore means that all three steps are done. If the process is killed in between, the next upload
of the same file finds no row with the object's etag and repeats the remaining steps.

A native file consists of content, which equal files share, and a reference to it; `tecken.storage.blob_rows`
has the order of their writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from itertools import islice
from tempfile import TemporaryFile
from typing import BinaryIO, ParamSpec, TypeVar

from django.conf import settings
from django.db.models import F

from tecken.errors import BadModule, Conflict, InvalidInput, NotFound
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import ObjectFiles, Slot, gzip_chunks
from tecken.storage.port import FileContent, OwnFiles, Stored
from tecken.symbolication import services as symbolication_services
from tecken.symbols.decompression import decompress
from tecken.symbols.ids import file_name
from tecken.symbols.layouts import FileKey, object_of, storage_path
from tecken.upload.archive import NotReusable
from tecken.upload.cabinets import open_unpacked
from tecken.upload.file_rows import (
    SHOWN_NAME_CHARACTERS,
    Outcome,
    RefusedFile,
    StoredFile,
    StoredRow,
    SymbolText,
    record,
    rows,
)
from tecken.upload.models import Upload

CHUNK_BYTES = 1 << 20
Read = Callable[[], Iterable[bytes]]
ReadGzip = Callable[[Callable[[bytes], object]], Iterable[bytes]]
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class ContextThreads(ThreadPoolExecutor):
    """Thread pool whose tasks run in the context of the code that submits them.

    A request's runtime options are pinned in its context. In another context, a thread would read options
    that may change before the request ends.
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function in a thread. `map` calls this for each item."""
        # Each task has its own copy, because a context can run in one thread at a time.
        context = copy_context()
        return super().submit(lambda: context.run(fn, *args, **kwargs))


def run_in_threads(
    threads: ContextThreads, function: Callable[[T], R], items: Iterable[T], at_once: int
) -> Iterator[tuple[T, R]]:
    """Yield each item with its result as soon as it is there; at most `at_once` are begun at a time."""
    waiting = iter(items)
    running: dict[Future[R], T] = {}
    try:
        while True:
            # No more than the threads can run: after an error or a cancellation nothing is left in the pool's
            # queue.
            for item in islice(waiting, at_once - len(running)):
                running[threads.submit(function, item)] = item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        # Running tasks read what the caller closes next.
        wait(running)


def select_storage(try_symbols: bool) -> ObjectFiles:
    """Return the storage of regular files or of try symbols."""
    return storage_services.select_files(try_symbols)


@contextmanager
def open_staged(slot: Slot) -> Iterator[BinaryIO]:
    """Copy a staged file to a file without a name. Raise NotFound or Unavailable.

    The copy is needed because obstore cannot write one object while it reads another one.
    """
    with TemporaryFile(dir=settings.SPOOL_DIR) as spool:
        with storage_services.staging().read(slot) as chunks:
            for chunk in chunks:
                spool.write(chunk)
        yield spool


def read_chunks(spool: BinaryIO) -> Iterator[bytes]:
    """Yield a file's content from its start."""
    spool.seek(0)
    while chunk := spool.read(CHUNK_BYTES):
        yield chunk


def ingest_file(upload: Upload, key: FileKey, read: Read, size: int) -> Outcome:
    """Store a file and write its row, or skip it when the same file is stored.

    After an error, an upload of the same file starts over.

    Args:
        upload: The upload that the file belongs to.
        key: The key under which the file is stored.
        read: A function that returns the unpacked bytes. It may be called twice.
        size: The number of unpacked bytes.

    Raises:
        InvalidInput: The storage cannot have this name.
        Conflict: Another file is stored and must stay.
        Unavailable: The storage did not answer.
    """
    outcome = store_file(upload, key, read, size, rows(upload, [key]).get(storage_path(key), ()))
    record_file(upload, outcome)
    if isinstance(outcome, RefusedFile):
        raise Conflict(outcome.reason)
    return outcome.outcome


def record_file(
    upload: Upload, outcome: StoredFile | RefusedFile, expected: Collection[FileKey] = ()
) -> None:
    """Write the row of a file, and before it store and record the files that are made from it.

    A fat file has an object for each processor, and each is found by the id in its key. The file in a CAB
    file is stored beside it: debuggers request either. `expected` are keys that get a file of their own.
    """
    if isinstance(outcome, StoredFile):
        # Before the row: an upload that is tried again leaves out files that have one.
        for key in outcome.text.other_keys():
            if key not in expected:
                read = partial(_read_stored, upload, outcome.key)
                _store_derived(upload, key, read, outcome.content.size)
        unpacked = outcome.text.unpacked_key()
        if unpacked and unpacked not in {*expected} - {outcome.key}:
            _store_unpacked(upload, unpacked, outcome)
    record(upload, outcome)


def _store_unpacked(upload: Upload, key: FileKey, packed: StoredFile) -> None:
    """Store the file in a CAB file; one that cannot be unpacked gets a warning."""
    cabinet = packed.text.cabinet
    assert cabinet
    try:
        file_name(key.file_name)
        if key == packed.key or key.file_type.is_compressed:
            raise BadModule(f"the name of a CAB file with {cabinet.name[:SHOWN_NAME_CHARACTERS]} ends in _")
        with open_unpacked(cabinet, _read_stored(upload, packed.key)) as content:
            _store_derived(upload, key, partial(read_chunks, content), cabinet.size)
    except InvalidInput as error:
        packed.text.add_fault(f"it cannot be unpacked: {error}")


def _store_derived(upload: Upload, key: FileKey, read: Read, size: int) -> None:
    known = rows(upload, [key]).get(storage_path(key), ())
    copy = store_file(upload, key, read, size, known)
    Upload.objects.filter(pk=upload.pk).update(members_total=F("members_total") + 1)
    record(upload, copy)


def _read_stored(upload: Upload, key: FileKey) -> Iterator[bytes]:
    with select_storage(upload.try_symbols).read(key) as chunks:
        yield from chunks


def store_file(
    upload: Upload,
    key: FileKey,
    read: Read,
    size: int | None,
    known: Collection[StoredRow],
    *,
    read_gzip: ReadGzip | None = None,
) -> StoredFile | RefusedFile:
    """Store a file without writing its row. Raise as `ingest_file` does, except Conflict.

    It does not use the database, so any thread may call it.

    Args:
        upload: The upload that the file belongs to.
        key: The key under which the file is stored.
        read: A function that returns the unpacked bytes. It may be called twice.
        size: The number of unpacked bytes; None where only reading shows it.
        known: The rows of the key.
        read_gzip: A function that returns the file as gzip, for a file that its client has compressed. It
            passes the unpacked bytes to its argument. If it raises NotReusable, `read` is used.
    """
    if key.file_type.is_compressed:
        return _store(upload, key, read, size, known, read_gzip=read_gzip)
    # A native file is identified by its tables, which lie anywhere in it, and stored under its hash.
    with TemporaryFile(dir=settings.SPOOL_DIR) as spool:
        inspector = _ContentInspector(key)
        for chunk in inspector.inspect(read()):
            spool.write(chunk)
        inspector.text.identify(spool, spool.tell())
        size = spool.tell() if size is None else size
        return _store(upload, key, partial(read_chunks, spool), size, known, inspector=inspector)


def adopt_file(upload: Upload, key: FileKey) -> StoredFile:
    """Describe a file of our storage that has no row, for its row. Raise NotFound, Malformed or Unavailable.

    It does not use the database, so any thread may call it.
    """
    files = select_storage(upload.try_symbols)
    stored, inspector = files.stat(key), _ContentInspector(key)
    with TemporaryFile(dir=settings.SPOOL_DIR) as spool, files.read(key) as chunks:
        if key.file_type.is_compressed:
            for _ in inspector.inspect(decompress(chunks, options().symbol_max_bytes)):
                pass
        else:
            for chunk in inspector.inspect(chunks):
                spool.write(chunk)
            inspector.text.identify(spool, spool.tell())
    files.put_lower_case_path(key)
    return StoredFile(key, "stored", stored, inspector.content, inspector.text)


def _store(
    upload: Upload,
    key: FileKey,
    read: Read,
    size: int | None,
    known: Collection[StoredRow],
    *,
    read_gzip: ReadGzip | None = None,
    inspector: _ContentInspector | None = None,
) -> StoredFile | RefusedFile:
    """Store a file as `store_file` does. `inspector` has read its bytes already."""
    files = select_storage(upload.try_symbols)
    former = _stat(files, key)
    if former:
        # Rows with another etag describe content that was replaced since.
        current_rows = [row for row in known if row.etag == former.etag]
        contents = {row.content for row in current_rows} or _read_stored_content(files, key, former, size)
        sent = inspector or _read_if_size(key, read, size, contents)
        if sent and contents == {sent.content}:
            if not current_rows:
                _remove_derived(upload, files, key)
            return StoredFile(key, "skipped", former, sent.content, sent.text, is_adopted=not current_rows)
        if reason := _find_refusal(upload, current_rows[-1] if current_rows else None):
            return RefusedFile(key, reason)
    if inspector:
        stored, sent = files.put(key, read(), inspector.content), inspector
    else:
        stored, sent = _put(files, key, read, read_gzip)
    _remove_derived(upload, files, key)
    return StoredFile(key, "stored", stored, sent.content, sent.text, update=former is not None)


def _put(
    files: OwnFiles, key: FileKey, read: Read, read_gzip: ReadGzip | None
) -> tuple[Stored, _ContentInspector]:
    """Store a symbol file. Its bytes are inspected meanwhile, so that a file of gigabytes is read once."""
    if read_gzip:
        with suppress(NotReusable):
            inspector = _ContentInspector(key)
            return files.put(key, read_gzip(inspector.feed)), inspector
    inspector = _ContentInspector(key)
    return files.put(key, gzip_chunks(inspector.inspect(read()))), inspector


def _remove_derived(upload: Upload, files: OwnFiles, key: FileKey) -> None:
    """Remove page file, header and cached results of the file that was stored under this key before."""
    if (module := object_of(key)) is not None:
        module = module.in_try() if files is storage_services.try_files() else module
        symbolication_services.invalidate_module(module, converts=upload.converts_ahead)


class _ContentInspector:
    """Size, digest and symbol text of the bytes that pass through."""

    def __init__(self, key: FileKey) -> None:
        self.text = SymbolText(key)
        self._size = 0
        self._digest = hashlib.sha256()

    def feed(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._size += len(chunk)
        self.text.feed(chunk)

    def inspect(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.feed(chunk)
            yield chunk

    @property
    def content(self) -> FileContent:
        return FileContent(self._size, self._digest.hexdigest())


def _read_if_size(
    key: FileKey, read: Read, size: int | None, contents: Collection[FileContent]
) -> _ContentInspector | None:
    """Inspect the sent bytes and return the result if the stored bytes are as many."""
    # Bytes of another size need not be read.
    if size is not None and {content.size for content in contents} != {size}:
        return None
    inspector = _ContentInspector(key)
    for _ in inspector.inspect(read()):
        pass
    return inspector


def _read_stored_content(files: OwnFiles, key: FileKey, stored: Stored, size: int | None) -> set[FileContent]:
    """Return size and digest of a stored file that no row describes; nothing if it cannot have `size` bytes.

    Such a file was added by a command, or by an upload that was killed before it wrote the row.
    """
    if stored.blob:
        return {FileContent(stored.size, stored.blob)}
    if not key.file_type.is_compressed and stored.size != size:
        return set()
    inspector = _ContentInspector(key)
    limit = options().symbol_max_bytes if size is None else size
    try:
        with files.read(key) as chunks:
            for _ in inspector.inspect(decompress(chunks, limit) if key.file_type.is_compressed else chunks):
                pass
    except (NotFound, InvalidInput):
        return set()
    return {inspector.content}


def _find_refusal(upload: Upload, row: StoredRow | None) -> str:
    """Return why the stored file must stay; an empty text when it may be replaced."""
    policy = options().upload_replace
    if policy == "all" or (policy == "own" and row is not None and row.user == upload.user_id):
        return ""
    by = f"by {row.email or row.user} in upload {row.upload}" if row and row.upload else "by no upload"
    return f"not stored: another file is stored there {by}, and upload_replace is {policy}"


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except NotFound:
        return None

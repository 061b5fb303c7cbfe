"""Keep a file that was uploaded, unless the same file is stored already.

The file is stored, then what was made of the former one is removed, then its row is written. A row means that
all of that is done, so whatever was killed in between is finished by the next upload of the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator

from tecken.errors import Absent, BadInput, Conflict
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.uploaded_files import gzipped
from tecken.storage.port import OwnFiles, Stored
from tecken.symbolication import services as symbolication_services
from tecken.symbols.decompression import decoded
from tecken.symbols.layouts import FileKey, object_of, storage_path
from tecken.upload.file_rows import Content, Kept, Outcome, Refused, Row, record, rows
from tecken.upload.models import Upload
from tecken.upload.usability import SymbolText

Read = Callable[[], Iterable[bytes]]


def storage(try_symbols: bool) -> OwnFiles:
    return storage_services.try_files() if try_symbols else storage_services.own_files()


def keep(upload: Upload, key: FileKey, read: Read, size: int) -> Outcome:
    """Store a file of `size` bytes and write its row, or skip what is there already.

    `read` gives the unpacked bytes and may be called twice. Raises CouldNotAsk, BadInput for a name that the
    storage cannot have, Conflict when another file stays, and what `read` raises; then an upload of the same
    file starts over.
    """
    kept = store(upload, key, read, size, rows(upload, [key]).get(storage_path(key), ()))
    record(upload, kept)
    if isinstance(kept, Refused):
        raise Conflict(kept.reason)
    return kept.outcome


def store(upload: Upload, key: FileKey, read: Read, size: int, known: Collection[Row]) -> Kept | Refused:
    """Do everything but the database's part, so that any thread may. Raises as `keep`, but for Conflict."""
    files = storage(upload.try_symbols)
    there = _stat(files, key)
    if there:
        its_rows = [row for row in known if row.etag == there.etag]
        contents = {row.content for row in its_rows} or _stored_content(files, key, there, size)
        if same := _read_if_same(key, read, size, contents):
            if not its_rows:
                _forget_former(files, key)
            return Kept(key, "skipped", there, same.content, same.text, is_adopted=not its_rows)
        if reason := _refusal(upload, its_rows[-1] if its_rows else None):
            return Refused(key, reason)
    seen = _Seen(key)
    chunks = seen.passing(read())
    stored = files.put(key, gzipped(chunks) if key.file_type.is_compressed else chunks)
    _forget_former(files, key)
    return Kept(key, "stored", stored, seen.content, seen.text, update=there is not None)


def _forget_former(files: OwnFiles, key: FileKey) -> None:
    """Remove what was made of the file that was stored under this key before."""
    if (module := object_of(key)) is not None:
        symbolication_services.replaced(module.in_try() if files is storage_services.try_files() else module)


class _Seen:
    """Size, digest and text of what passes."""

    def __init__(self, key: FileKey) -> None:
        self.text = SymbolText(key)
        self._size = 0
        self._digest = hashlib.sha256()

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digest.update(chunk)
            self._size += len(chunk)
            self.text.feed(chunk)
            yield chunk

    @property
    def content(self) -> Content:
        return Content(self._size, self._digest.hexdigest())


def _read_if_same(key: FileKey, read: Read, size: int, contents: Collection[Content]) -> _Seen | None:
    """Return what was sent if it has the content that is stored; it is not read where sizes differ."""
    if {content.size for content in contents} != {size}:
        return None
    seen = _Seen(key)
    for _ in seen.passing(read()):
        pass
    return seen if contents == {seen.content} else None


def _stored_content(files: OwnFiles, key: FileKey, there: Stored, size: int) -> set[Content]:
    """Return size and digest of a stored file that no row describes; empty where it cannot have `size` bytes.

    Such a file was added by a command, or by an upload that was killed before it wrote the row.
    """
    if not key.file_type.is_compressed and there.size != size:
        return set()
    seen = _Seen(key)
    try:
        with files.read(key) as chunks:
            for _ in seen.passing(decoded(chunks, size) if key.file_type.is_compressed else chunks):
                pass
    except (Absent, BadInput):
        return set()
    return {seen.content}


def _refusal(upload: Upload, row: Row | None) -> str:
    """Return why the stored file must stay; nothing when it may be replaced."""
    policy = options().upload_replace
    if policy == "all" or (policy == "own" and row is not None and row.user == upload.user_id):
        return ""
    by = f"by {row.email or row.user} in upload {row.upload}" if row and row.upload else "by no upload"
    return f"not stored: another file is stored there {by}, and upload_replace is {policy}"


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except Absent:
        return None

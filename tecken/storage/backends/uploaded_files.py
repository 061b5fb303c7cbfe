"""Uploaded files on object storage.

Windows compares names without case, object storage does not. So a file of a Windows module whose name has
capitals also has an object with its path in lower case, which holds the name as it was uploaded.

A multipart upload whose process was killed stays invisible; let a lifecycle rule of the bucket remove it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tecken.errors import InvalidInput, NotFound
from tecken.storage.backends.bucket import Bucket
from tecken.storage.port import OwnFiles, Stored
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import (
    ROOT,
    FileKey,
    is_reserved,
    lower_case_path,
    needs_lower_case_path,
    parse_storage_path,
    storage_path,
    symbol_file,
)

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta

# gzip, because every client that is redirected to the object can decode it.
GZIP_LEVEL = 4
GZIP_WINDOW = 31  # zlib's number for a gzip wrapper


class ObjectFiles:
    """An OwnFiles in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.name = bucket.name
        self._bucket = bucket

    def stat(self, key: FileKey) -> Stored:
        return _stored(self._bucket.head(_path(key, NotFound)))

    @contextmanager
    def read(self, key: FileKey, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        check_span(start, end)
        yield self._bucket.chunks(self._bucket.get(_path(key, NotFound), start, end))

    def put(self, key: FileKey, chunks: Iterable[bytes]) -> Stored:
        path = _path(key, InvalidInput)
        if needs_lower_case_path(key):
            # It comes first: a file whose other name could not be written is not stored, and is sent again.
            self._bucket.put(lower_case_path(key), [str(key).encode()])
        self._bucket.put(path, chunks, _attributes(key.file_type))
        return _stored(self._bucket.head(path))

    def other_case(self, key: FileKey) -> FileKey:
        _path(key, NotFound)
        found = self._last_spelling(key) or key.in_lower_case
        if found == key:
            raise NotFound(f"{self.name} has {key} in no other case")
        self.stat(found)
        return found

    def delete(self, key: FileKey) -> None:
        with suppress(NotFound):
            self._bucket.delete(_path(key, NotFound))
            if needs_lower_case_path(key) and self._last_spelling(key) == key:
                self._bucket.delete(lower_case_path(key))

    def _last_spelling(self, key: FileKey) -> FileKey | None:
        try:
            found = self._bucket.get(lower_case_path(key))
            return FileKey(*b"".join(self._bucket.chunks(found)).decode().split("/"))
        except NotFound:
            return None

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        return self._bucket.sign("GET", _path(key, NotFound), seconds)

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        return self._bucket.sign("PUT", _path(key, InvalidInput), seconds)

    def keys(self) -> Iterator[FileKey]:
        return (key for key, _ in self.entries())

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        for path, meta in self._bucket.entries(ROOT):
            with suppress(ValueError):
                yield parse_storage_path(path), _stored(meta)


class OwnSymbols:
    """The symbol files among uploaded files, as a SymbolSource."""

    def __init__(self, files: OwnFiles) -> None:
        self.name = files.name
        self._files = files

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        key = find_symbols(self._files, module)[0] if module.ignores_case else symbol_file(module)
        with self._files.read(key) as chunks:
            yield chunks


def find_symbols(files: OwnFiles, module: ObjectId) -> tuple[FileKey, Stored]:
    """Return the symbol file that was stored last under any spelling of the module's name.

    All spellings share one page file. So each must lead to the same symbol file: else a request in one
    spelling would bring back what an upload in another one has replaced. Raises NotFound and Unavailable.
    """
    asked = symbol_file(module)
    if not module.ignores_case:
        return asked, files.stat(asked)
    found = [(key, stored) for key in _spellings(files, asked) if (stored := _stat(files, key))]
    if not found:
        raise NotFound(f"{files.name} has {asked} in no case")
    return max(found, key=lambda item: (item[1].modified, item[0]))


def _spellings(files: OwnFiles, key: FileKey) -> Collection[FileKey]:
    spellings = {key, key.in_lower_case}
    with suppress(NotFound):
        spellings.add(files.other_case(key))
    return spellings


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except NotFound:
        return None


def stored_symbols(files: OwnFiles, module: ObjectId) -> Stored | None:
    """Return what `find_symbols` finds; None where it is absent. Raises Unavailable."""
    try:
        return find_symbols(files, module)[1]
    except NotFound:
        return None


def check_span(start: int, end: int | None) -> None:
    """Raises ValueError."""
    if not 0 <= start < (start + 1 if end is None else end):
        raise ValueError(f"no bytes from {start} to {end}")


def refuse_name(key: FileKey, error: type[NotFound | InvalidInput]) -> None:
    """Raises `error` for a name that no storage of ours has."""
    if any("/" in part or part in ("", ".", "..") for part in key) or is_reserved(key.file_name):
        raise error(f"no file can have the name {key}")


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What `put` wants of a file that is stored compressed."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    for chunk in chunks:
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()


def _path(key: FileKey, error: type[NotFound | InvalidInput]) -> str:
    refuse_name(key, error)
    return storage_path(key)


def _attributes(file_type: FileType) -> Attributes:
    encoding: Attributes = {"Content-Encoding": file_type.encoding} if file_type.is_compressed else {}
    return {"Content-Type": file_type.content_type, **encoding}


def _stored(meta: ObjectMeta) -> Stored:
    return Stored(meta["size"], (meta["e_tag"] or "").removeprefix("W/").strip('"'), meta["last_modified"])

"""Uploaded files on object storage, under `v1/<debug file>/<DEBUG ID>/<file name>`.

Windows compares names without case, object storage does not. So a file of a Windows module whose name has
capitals also has an object `lc/<the same in lower case>`, which holds the name as it was uploaded.

A multipart upload whose process was killed stays invisible; let a lifecycle rule of the bucket remove it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tecken.errors import Absent, BadInput
from tecken.storage.backends.bucket import Bucket
from tecken.storage.backends.page_files import ROOT, SUFFIX
from tecken.storage.port import OwnFiles, Stored
from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey, symbol_file

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta

# Page files lie beside symbol files; obstore keeps `#<number>` for what is being written.
RESERVED = re.compile(rf".*({re.escape(SUFFIX)}|#\d+)", re.DOTALL)
# gzip, because every client that is redirected to the object can decode it.
GZIP_LEVEL = 4
GZIP_WINDOW = 31  # zlib's number for a gzip wrapper
GZIPPED: Attributes = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
# As long as ROOT, so that both objects of a file have names that the storage allows.
LOWER_CASE = "lc"
BINARY: Attributes = {"Content-Type": "application/octet-stream"}


class ObjectFiles:
    """An OwnFiles in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.name = bucket.name
        self._bucket = bucket

    def stat(self, key: FileKey) -> Stored:
        return _stored(self._bucket.head(_path(key, Absent)))

    @contextmanager
    def read(self, key: FileKey, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        check_span(start, end)
        yield self._bucket.chunks(self._bucket.get(_path(key, Absent), start, end))

    def put(self, key: FileKey, chunks: Iterable[bytes]) -> Stored:
        path = _path(key, BadInput)
        if lower := _lower_case(key):
            # It comes first: a file whose other name could not be written is not stored, and is sent again.
            self._bucket.put(lower, [str(key).encode()])
        self._bucket.put(path, chunks, GZIPPED if key.file_type.is_compressed else BINARY)
        return _stored(self._bucket.head(path))

    def other_case(self, key: FileKey) -> FileKey:
        _path(key, Absent)
        found = self._last_spelling(key) or FileKey(*str(key).lower().split("/"))
        found = found._replace(debug_id=key.debug_id)
        if found == key:
            raise Absent(f"{self.name} has {key} in no other case")
        self.stat(found)
        return found

    def delete(self, key: FileKey) -> None:
        with suppress(Absent):
            self._bucket.delete(_path(key, Absent))
            lower = _lower_case(key)
            if lower and self._last_spelling(key) == key:
                self._bucket.delete(lower)

    def _last_spelling(self, key: FileKey) -> FileKey | None:
        try:
            found = self._bucket.get(f"{LOWER_CASE}/{str(key).lower()}")
            return FileKey(*b"".join(self._bucket.chunks(found)).decode().split("/"))
        except Absent:
            return None

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        return self._bucket.sign("GET", _path(key, Absent), seconds)

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        return self._bucket.sign("PUT", _path(key, BadInput), seconds)

    def keys(self) -> Iterator[FileKey]:
        return (key for key, _ in self.entries())

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        for path, meta in self._bucket.entries(ROOT):
            parts = path.split("/")[1:]
            if len(parts) == 3 and not RESERVED.fullmatch(parts[2]):
                yield FileKey(*parts), _stored(meta)


class OwnSymbols:
    """The symbol files among uploaded files, as a SymbolSource."""

    def __init__(self, files: OwnFiles) -> None:
        self.name = files.name
        self._files = files

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        with self._files.read(symbol_file(module)) as chunks:
            yield chunks


def stored_symbols(files: OwnFiles, module: ObjectId) -> Stored | None:
    """None where it is absent. Raises CouldNotAsk."""
    try:
        return files.stat(symbol_file(module))
    except Absent:
        return None


def check_span(start: int, end: int | None) -> None:
    """Raises ValueError."""
    if not 0 <= start < (start + 1 if end is None else end):
        raise ValueError(f"no bytes from {start} to {end}")


def refuse_name(key: FileKey, error: type[Absent | BadInput]) -> None:
    """Raises `error` for a name that no storage of ours has."""
    if any("/" in part or part in ("", ".", "..") for part in key) or RESERVED.fullmatch(key.file_name):
        raise error(f"no file can have the name {key}")


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What `put` wants of a file that is stored compressed."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    for chunk in chunks:
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()


def _path(key: FileKey, error: type[Absent | BadInput]) -> str:
    refuse_name(key, error)
    return f"{ROOT}/{key}"


def _lower_case(key: FileKey) -> str | None:
    """Return the path of the object that has the name as uploaded; None where the file needs none."""
    names = key.debug_file + key.file_name
    if not is_windows_name(key.debug_file) or names == names.lower():
        return None
    return f"{LOWER_CASE}/{str(key).lower()}"


def _stored(meta: ObjectMeta) -> Stored:
    return Stored(meta["size"], (meta["e_tag"] or "").removeprefix("W/").strip('"'), meta["last_modified"])

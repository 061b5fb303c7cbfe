"""Uploaded files, page files and staged files on object storage.

Windows compares names without case, object storage does not. So a file of a Windows module whose name has
capitals also has an object with its path in lower case, which holds the name as it was uploaded.

A native file is a reference under its path and content that equal files share (`blobs`). Native files that a
former release stored have their content under their path.

Staged files are sent files that are not served until their upload is completed, checked and stored.

A multipart upload whose process was killed stays invisible; let a lifecycle rule of the bucket remove it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, islice
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from cachetools import LRUCache

from tecken.errors import InvalidInput, Malformed, NotFound, TooLarge
from tecken.storage.backends.blobs import (
    REFERENCE_BYTES,
    Blobs,
    parse_reference,
    spool,
    stored_meta,
    write_reference,
)
from tecken.storage.backends.bucket import Bucket
from tecken.storage.port import FileContent, OwnFiles, Stored
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import (
    BINARY,
    BLOBS,
    FORMER_TEXTS,
    PAGE_ROOTS,
    REFERENCES,
    ROOT,
    ROOTS,
    FileKey,
    FileType,
    is_former,
    is_reserved,
    lower_case_path,
    needs_lower_case_path,
    page_path,
    parse_page_path,
    parse_reference_path,
    parse_storage_path,
    reference_path,
    storage_path,
    symbol_file,
)

if TYPE_CHECKING:
    from obstore import Attributes

# gzip, because every client that is redirected to the object can decode it.
GZIP_LEVEL = 4
# zlib's number for the largest window with a gzip wrapper.
GZIP_WINDOW = 31
# References that are read side by side when all of them are listed, and how many at once.
REFERENCE_READERS = 8
REFERENCE_BATCH = 256
# For how long a reference that was read stands for the one in the storage, and how many of them do. An upload
# or a removal also changes the presence cache, which every request reads: this bounds for how long a file is
# sent that was removed from the storage by other means.
RECALL_SECONDS = 5.0
MAX_RECALLED = 4096


class ObjectFiles:
    """Uploaded files in a bucket; see `OwnFiles` for the methods."""

    def __init__(self, bucket: Bucket) -> None:
        self.name = bucket.name
        self._bucket = bucket
        self.blobs = Blobs(bucket)
        self._read_lately: LRUCache[FileKey, tuple[str, float]] = LRUCache(MAX_RECALLED)
        self._lock = Lock()

    def stat(self, key: FileKey) -> Stored:
        """Return size, etag and time of a file."""
        path = _path(key, NotFound)
        found = self._find_reference(key)
        if found is None:
            return stored_meta(self._bucket.head(path))
        content, written = found
        # A reference may be left of content that was deleted.
        self.blobs.stat(content.digest)
        return _reference_stat(content, written)

    @contextmanager
    def read(self, key: FileKey, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Read a part of a file."""
        check_span(start, end)
        path, began = _path(key, NotFound), monotonic()
        if found := self._find_reference(key):
            with self._lock:
                self._read_lately[key] = found[0].digest, began
            with self.blobs.read(found[0], start, end) as chunks:
                yield chunks
        else:
            yield self._bucket.chunks(self._bucket.get(path, start, end))

    def recall(self, key: FileKey, stored: Stored) -> bytes | None:
        """Return a small native file from memory if its reference was read in the last RECALL_SECONDS."""
        if self._bucket.has_urls:
            return None
        with self._lock:
            digest, at = self._read_lately.get(key) or ("", 0.0)
        is_recent = digest == stored.etag and monotonic() - at < RECALL_SECONDS
        return self.blobs.recall(digest) if is_recent else None

    def open_file(self, key: FileKey) -> BinaryIO | None:
        """Open the file of a directory that has the bytes of a native file."""
        _path(key, NotFound)
        found = self._find_reference(key)
        return self.blobs.open_file(found[0]) if found else None

    def _find_reference(self, key: FileKey) -> tuple[FileContent, Stored] | None:
        """Return the content to which a key refers and the reference's own facts; None without one."""
        if key.file_type.is_compressed:
            return None
        with suppress(NotFound, Malformed):
            found = self._bucket.get(reference_path(key))
            if found.meta["size"] == REFERENCE_BYTES:
                return parse_reference(b"".join(self._bucket.chunks(found))), stored_meta(found.meta)
        return None

    def put(self, key: FileKey, chunks: Iterable[bytes], content: FileContent | None = None) -> Stored:
        """Store a file and, where its name needs one, its lower-case path."""
        path = _path(key, InvalidInput)
        if key.file_type.is_compressed:
            self.put_lower_case_path(key)
            self._bucket.put(path, chunks, object_attributes(path))
            return stored_meta(self._bucket.head(path))
        self._bucket.refuse_long(path, TooLarge)
        if content is not None:
            return self._put_native(key, chunks, content)
        with spool(chunks) as (spooled, copy):
            return self._put_native(key, copy, spooled)

    def _put_native(self, key: FileKey, chunks: Iterable[bytes], content: FileContent) -> Stored:
        # The content comes before the reference, which would otherwise lead to nothing. A process that is
        # killed in between leaves content without a reference: an upload of the same file finds it, and
        # `symbols fsck` reports it.
        self.blobs.put(content, chunks)
        self.put_lower_case_path(key)
        self._bucket.put(reference_path(key), [write_reference(content)])
        # The file of a former release under the same name. The reference is found first, so a process that is
        # killed here leaves a file that nothing reads.
        self._bucket.delete(storage_path(key))
        return _reference_stat(content, stored_meta(self._bucket.head(reference_path(key))))

    def put_lower_case_path(self, key: FileKey) -> None:
        """Make a file known in lower case, if its name needs that."""
        # It comes before the file: when it cannot be written, the file is not stored, and the client sends it
        # again. In the other order, a stored file could not be found in lower case.
        if needs_lower_case_path(key):
            self._bucket.put(lower_case_path(key), [str(key).encode()])

    def other_case(self, key: FileKey) -> FileKey:
        """Return the key that was put last and differs in case only."""
        _path(key, NotFound)
        other = self._last_spelling(key) or key.in_lower_case
        if other == key:
            raise NotFound(f"{self.name} has {key} in no other case")
        self.stat(other)
        return other

    def delete(self, key: FileKey) -> None:
        """Delete a file, if it exists, and its lower-case path."""
        with suppress(NotFound):
            path = _path(key, NotFound)
            if not key.file_type.is_compressed:
                self._bucket.delete(reference_path(key))
            self._bucket.delete(path)
            if needs_lower_case_path(key) and self._last_spelling(key) == key:
                self._bucket.delete(lower_case_path(key))

    def _last_spelling(self, key: FileKey) -> FileKey | None:
        try:
            index = self._bucket.get(lower_case_path(key))
            return FileKey(*b"".join(self._bucket.chunks(index)).decode().split("/"))
        except NotFound:
            return None

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        """Return a URL for reading; None where the storage has no URLs, and for compressed content."""
        url = self._bucket.sign("GET", _path(key, NotFound), seconds)
        if url and (found := self._find_reference(key)):
            return self.blobs.signed_get(found[0], seconds)
        return url

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        """Return a URL for writing; None where the storage has no URLs. A native file stays plain there."""
        return self._bucket.sign("PUT", _path(key, InvalidInput), seconds)

    def keys(self) -> Iterator[FileKey]:
        """Yield all keys."""
        return (key for key, _ in self.entries())

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        """Yield all files with their `stat`, also those whose content was deleted.

        Each reference is read, so this costs a request for each native file.
        """
        native = set()
        for key, stored in self._references():
            native.add(key)
            yield key, stored
        for path, meta in self._bucket.entries(ROOT):
            with suppress(ValueError):
                if (key := parse_storage_path(path)) not in native:
                    yield key, stored_meta(meta)

    def _references(self) -> Iterator[tuple[FileKey, Stored]]:
        paths = (path for path, _ in self._bucket.entries(REFERENCES))
        with ThreadPoolExecutor(REFERENCE_READERS) as pool:
            while batch := list(islice(paths, REFERENCE_BATCH)):
                yield from chain.from_iterable(pool.map(self._read_entry, batch))

    def _read_entry(self, path: str) -> list[tuple[FileKey, Stored]]:
        """Return the entry of a reference; none if it was deleted since it was listed."""
        with suppress(ValueError):
            key = parse_reference_path(path)
            if found := self._find_reference(key):
                return [(key, _reference_stat(*found))]
        return []


class OwnSymbols:
    """Symbol source of the uploaded files."""

    def __init__(self, files: OwnFiles) -> None:
        self.name = files.name
        self._files = files

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Read the symbol file of a module, as `SymbolSource.open` does."""
        key = find_symbols(self._files, module)[0] if module.ignores_case else symbol_file(module)
        with self._files.read(key) as chunks:
            yield chunks


def find_symbols(files: OwnFiles, module: ObjectId) -> tuple[FileKey, Stored]:
    """Return the symbol file that was stored last under any spelling of the module's name.

    Raises NotFound and Unavailable.
    """
    requested = symbol_file(module)
    if not module.ignores_case:
        return requested, files.stat(requested)
    # All spellings share one page file, so each must lead to the same symbol file. Otherwise a request in one
    # spelling would bring back symbols that an upload in another one has replaced.
    found = [(key, stored) for key in _spellings(files, requested) if (stored := _stat(files, key))]
    if not found:
        raise NotFound(f"{files.name} has {requested} in no case")
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
    """Return size, etag and time of the module's symbol file; None where it is absent. Raises Unavailable."""
    try:
        return find_symbols(files, module)[1]
    except NotFound:
        return None


def check_span(start: int, end: int | None) -> None:
    """Raise ValueError unless the span has at least one byte."""
    if not 0 <= start < (start + 1 if end is None else end):
        raise ValueError(f"no bytes from {start} to {end}")


def refuse_name(key: FileKey, error: type[NotFound | InvalidInput]) -> None:
    """Raise `error` for a name that no storage of ours can have."""
    if any("/" in part or part in ("", ".", "..") for part in key) or is_reserved(key.file_name):
        raise error(f"no file can have the name {key}")


def gzip_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the gzip form in which `put` expects a file that is stored compressed."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    for chunk in chunks:
        # Most calls return nothing, because zlib collects input; an empty chunk would only cost a write.
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()


def _path(key: FileKey, error: type[NotFound | InvalidInput]) -> str:
    refuse_name(key, error)
    return storage_path(key)


def object_attributes(path: str) -> Attributes | None:
    """Return the attributes with which clients receive an object; None for one that no client receives."""
    if path.startswith(f"{BLOBS}/"):
        return {"Content-Type": BINARY}
    if not path.startswith(f"{ROOT}/"):
        return None
    file_type = FileType.of_name(path)
    encoding: Attributes = {"Content-Encoding": file_type.encoding} if file_type.is_compressed else {}
    return {"Content-Type": file_type.content_type, **encoding}


def _reference_stat(content: FileContent, reference: Stored) -> Stored:
    return Stored(content.size, content.digest, reference.modified, content.digest)


# Page files


class ObjectPageFiles:
    """Page files in a bucket, under the paths of `tecken.symbols.layouts`; methods as in `PageFiles`."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each span of a page file."""
        return self._bucket.ranges(page_path(module), spans)

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        """Store a page file, replacing an older one."""
        self._bucket.put(page_path(module), chunks)

    def delete(self, module: ObjectId) -> None:
        """Delete a page file, if it exists."""
        self._bucket.delete(page_path(module))

    def entries(self) -> Iterator[tuple[ObjectId, datetime]]:
        """Yield all modules with the times of their page files."""
        for root in PAGE_ROOTS:
            for path, meta in self._bucket.entries(root):
                if (module := parse_page_path(path)) is not None:
                    yield module, meta["last_modified"]

    def former(self) -> Iterator[str]:
        """Yield the paths of page files, and of texts of native files, of a former release."""
        for root in (*ROOTS, FORMER_TEXTS):
            yield from (path for path, _ in self._bucket.entries(root) if is_former(path))

    def delete_former(self, path: str) -> None:
        """Delete a page file or a text of a former release."""
        # The check protects uploaded files, which lie below the same root as page files.
        if is_former(path):
            self._bucket.delete(path)


# Staging

STAGING_ROOT = "incoming"
STAGED_NAME = re.compile(rf"{STAGING_ROOT}/(\d+)\.(\d+)")


class Slot(NamedTuple):
    """Place of one file of one upload."""

    upload: int
    number: int

    def __str__(self) -> str:
        return f"{STAGING_ROOT}/{self.upload}.{self.number}"


class Staging:
    """Objects `incoming/<upload>.<number>`, beside the uploaded files of the same bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, slot: Slot, chunks: Iterable[bytes]) -> None:
        """Store a file, all of it or nothing, in place of an older one.

        Raises Unavailable, and the errors of `chunks`.
        """
        self._bucket.put(str(slot), chunks)

    @contextmanager
    def read(self, slot: Slot) -> Iterator[Iterator[bytes]]:
        """Read a file in chunks. Raises NotFound or Unavailable."""
        yield self._bucket.chunks(self._bucket.get(str(slot)))

    def signed_put(self, slot: Slot, seconds: float) -> str | None:
        """Return a URL to which the file can be sent for `seconds`; None where the storage has no URLs."""
        return self._bucket.sign("PUT", str(slot), seconds)

    def delete(self, slot: Slot) -> None:
        """Delete a file, if it exists. Raises Unavailable."""
        self._bucket.delete(str(slot))

    def entries(self) -> Iterator[tuple[Slot, datetime]]:
        """Yield all files with the times at which they were written. Raises Unavailable."""
        for name, meta in self._bucket.entries(STAGING_ROOT):
            if match := STAGED_NAME.fullmatch(name):
                yield Slot(*map(int, match.groups())), meta["last_modified"]

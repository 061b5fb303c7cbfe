"""Content of native files: one object for all files with the same bytes, and references to it.

A reference is a small object under a file's name. It has the SHA-256 and the size of the content, so that
files are read, listed and replaced without the database. The database counts who refers to content, and
`tecken.storage.blob_rows` alone deletes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, Final

from cachetools import LRUCache
from django.conf import settings

from tecken.errors import Malformed, NotFound, Unavailable
from tecken.storage.backends.bucket import Bucket
from tecken.storage.backends.seekable import decode, encode, find_run, parse_table, tail_bytes
from tecken.storage.port import FileContent, Stored
from tecken.symbols.layouts import BINARY, BLOBS, blob_path, parse_blob_path

if TYPE_CHECKING:
    from obstore import ObjectMeta

CHUNK_BYTES: Final = 1 << 20
# Small content that was read lately, in bytes of one process: debuggers of one build request the same files.
SMALL_BYTES: Final = 64 << 10
MAX_SMALL_BYTES: Final = 8 << 20
# One line: magic and version, SHA-256, bytes. All references have the same length.
REFERENCE_BYTES: Final = 100
_MAGIC: Final = [b"tecken-blob", b"1"]
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")
_SIZE: Final = re.compile(rb"\d{20}\n")


def write_reference(content: FileContent) -> bytes:
    """Return the bytes of a reference."""
    return b"tecken-blob 1 %s %020d\n" % (content.digest.encode(), content.size)


def parse_reference(text: bytes) -> FileContent:
    """Return the content to which a reference leads. Raises Malformed for another or an unknown version."""
    *magic, digest, size = text.split(b" ") if text.count(b" ") == 3 else (b"", b"")
    if magic != _MAGIC or not (_DIGEST.fullmatch(digest) and _SIZE.fullmatch(size)):
        raise Malformed("no reference of a known version")
    return FileContent(int(size), digest.decode())


class Blobs:
    """Content in a bucket, compressed in frames or plain (`tecken.storage.backends.seekable`).

    Its methods raise Unavailable when the storage does not respond.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._small: LRUCache[str, bytes] = LRUCache(MAX_SMALL_BYTES, getsizeof=len)
        self._lock = Lock()

    def stat(self, digest: str) -> Stored:
        """Return size, etag and time of content as stored. Raises NotFound."""
        return stored_meta(self._bucket.head(blob_path(digest)))

    def put(self, content: FileContent, chunks: Iterable[bytes]) -> None:
        """Store the content that the chunks yield, unless it is stored already.

        Two processes may store the same content at once: both write the same bytes, and each object is
        visible only when it is complete.
        """
        try:
            self.stat(content.digest)
        except NotFound:
            self._bucket.put(blob_path(content.digest), encode(chunks), {"Content-Type": BINARY})

    @contextmanager
    def read(self, content: FileContent, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Read the plain bytes from `start` to `end`, as `OwnFiles.read` does.

        Of compressed content, only the frames that have these bytes are read. Small content is read whole and
        kept in memory: its hash is its name, so that it never changes.
        """
        if not 0 < content.size <= SMALL_BYTES:
            with self._read_stored(content, start, end) as chunks:
                yield chunks
            return
        if start >= content.size:
            raise Unavailable(f"{self._bucket.name}: {content.digest} has only {content.size} bytes")
        yield iter([self._read_small(content)[start:end]])

    def recall(self, digest: str) -> bytes | None:
        """Return content from memory; None where it is not there."""
        with self._lock:
            kept: bytes | None = self._small.get(digest)
        return kept

    def _read_small(self, content: FileContent) -> bytes:
        kept = self.recall(content.digest)
        if kept is not None:
            return kept
        with self._read_stored(content) as chunks:
            kept = b"".join(chunks)
        if len(kept) == content.size:
            with self._lock:
                self._small[content.digest] = kept
        return kept

    @contextmanager
    def _read_stored(
        self, content: FileContent, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Read plain bytes from the storage."""
        stored = self.stat(content.digest)
        path = blob_path(content.digest)
        if stored.size == content.size:
            yield self._bucket.chunks(self._bucket.get(path, start, end))
            return
        if start >= content.size:
            raise Unavailable(f"{self._bucket.name}: {path} has only {content.size} bytes")
        yield self._decode(path, stored.size, content, start, min(end or content.size, content.size))

    def open_file(self, content: FileContent) -> BinaryIO | None:
        """Open the file with the plain bytes; None where there is none. Raises NotFound and Unavailable."""
        is_plain = self.stat(content.digest).size == content.size
        return self._bucket.open_file(blob_path(content.digest)) if is_plain else None

    def _decode(
        self, path: str, stored_size: int, content: FileContent, start: int, end: int
    ) -> Iterator[bytes]:
        try:
            tail_start = max(0, stored_size - tail_bytes(content.size))
            tail = b"".join(self._bucket.chunks(self._bucket.get(path, tail_start)))
            run = find_run(parse_table(tail, stored_size, content.size), start, end)
            stored = self._bucket.chunks(self._bucket.get(path, run.start, run.end))
            yield from decode(stored, run, end - start)
        except Malformed as error:
            # Not an error of the client, and the next attempt may find the object repaired.
            raise Unavailable(f"{self._bucket.name}: {path} is damaged: {error}") from error

    def is_intact(self, content: FileContent) -> bool:
        """Read the content and return whether it has this size and hash. Raises NotFound."""
        digest, size = hashlib.sha256(), 0
        try:
            with self._read_stored(content) as chunks:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
        except Unavailable as error:
            if isinstance(error.__cause__, Malformed):
                return False
            raise
        return FileContent(size, digest.hexdigest()) == content

    def delete(self, digest: str) -> None:
        """Delete content, if it exists."""
        self._bucket.delete(blob_path(digest))
        with self._lock:
            self._small.pop(digest, None)

    def entries(self) -> Iterator[tuple[str, Stored]]:
        """Yield the SHA-256 and the `stat` of all content."""
        for path, meta in self._bucket.entries(BLOBS):
            if (digest := parse_blob_path(path)) is not None:
                yield digest, stored_meta(meta)

    def signed_get(self, content: FileContent, seconds: float) -> str | None:
        """Return a URL for reading plain content; None for compressed content and where there are no URLs."""
        url = self._bucket.sign("GET", blob_path(content.digest), seconds)
        return url if url and self.stat(content.digest).size == content.size else None


def stored_meta(meta: ObjectMeta) -> Stored:
    """Return the facts of an object."""
    return Stored(meta["size"], (meta["e_tag"] or "").removeprefix("W/").strip('"'), meta["last_modified"])


@contextmanager
def spool(chunks: Iterable[bytes]) -> Iterator[tuple[FileContent, Iterator[bytes]]]:
    """Copy the chunks to a file without a name, and return their size and hash with the copy.

    Content has to be known before it can be stored: its hash is its name.
    """
    digest = hashlib.sha256()
    with TemporaryFile(dir=settings.SPOOL_DIR) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        content = FileContent(file.tell(), digest.hexdigest())
        file.seek(0)
        yield content, iter(partial(file.read, CHUNK_BYTES), b"")

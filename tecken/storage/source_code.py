"""Source files of uploaded source bundles, found by debug id and path, and read out of the bundle by range.

A bundle is stored as any native file: once for equal bytes (`tecken.storage.backends.blobs`). Its archive has
compressed each source file by itself, so one file is read without the others. The index of the archive is
read when it is uploaded and kept as rows. A request then costs one query by an index and one read of the
bytes of one file, whatever the size of the bundle.

Source: PKWARE, APPNOTE.TXT (zip), section 4.3.7 (local file header).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple

from django.db import DatabaseError

from tecken.errors import Malformed, NotFound, Unavailable
from tecken.storage.backends.files import ObjectFiles
from tecken.storage.models import Blob, SourceFile, SymbolFile
from tecken.storage.port import FileContent
from tecken.symbols.formats.source_bundle import SourceEntry
from tecken.symbols.layouts import FileType
from tecken.symbols.source_paths import lookup_form

ROWS_AT_ONCE: Final = 2000
PIECE_BYTES: Final = 256 << 10

_LOCAL_HEADER: Final = struct.Struct("<4s4xH16xHH")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_STORED: Final = 0
# zlib's number for a deflate stream without a header.
_DEFLATE_WINDOW: Final = -15


class StoredSource(NamedTuple):
    """Source file in the content of a bundle: the member's bytes from `start` to `end`, unpacked `size`.

    The bundle is among the regular files, or with `is_try` among those of try builds.
    """

    path: str
    bundle: FileContent
    start: int
    end: int
    size: int
    modified: datetime
    is_try: bool

    @property
    def etag(self) -> str:
        """Text that differs for other bytes."""
        return f"{self.bundle.digest}-{self.start}"


def add_rows(blob: Blob, entries: Sequence[SourceEntry]) -> None:
    """Write the rows of a bundle's source files, unless its content has them already.

    The caller has locked the content's row (`tecken.storage.blob_rows.refer`).
    """
    if blob.sources.exists():
        return
    rows = (SourceFile(blob=blob, **entry._asdict()) for entry in entries)
    SourceFile.objects.bulk_create(rows, batch_size=ROWS_AT_ONCE)


def find_source(debug_ids: Iterable[str], path: str, *, with_try: bool) -> StoredSource:
    """Return the source file with a path in the bundle of a debug id, of several the newest.

    `with_try` includes the bundles of try builds, after the regular ones.

    Raises NotFound, or Unavailable when the database does not respond.
    """
    # PostgreSQL refuses a text with NUL, which no path has.
    if "\0" in path:
        raise NotFound("no path has a NUL character")
    bundles = SymbolFile.objects.identifying().filter(
        debug_id__in=list(debug_ids),
        key__endswith=FileType.SOURCES.suffix,
        replaced_by=None,
    )
    if not with_try:
        bundles = bundles.filter(try_symbols=False)
    rows = bundles.filter(blob__sources__path=lookup_form(path)).order_by("try_symbols", "-pk")
    of_bundle = ("blob__size", "blob__sha256", "completed_at", "try_symbols")
    of_source = (f"blob__sources__{name}" for name in ("path", "start", "end", "size"))
    try:
        row = rows.values_list(*of_source, *of_bundle).first()
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    if row is None:
        raise NotFound("no source file with this path was uploaded for this id")
    found, start, end, size, bundle_size, digest, modified, is_try = row
    return StoredSource(found, FileContent(bundle_size, digest), start, end, size, modified, is_try)


@contextmanager
def open_source(files: ObjectFiles, source: StoredSource) -> Iterator[Iterator[bytes]]:
    """Read a source file in chunks. Raises NotFound and Unavailable, also when the bundle is damaged."""
    with files.blobs.read(source.bundle, source.start, source.end) as chunks:
        yield _unpack(chunks, source)


def read_source(files: ObjectFiles, source: StoredSource) -> bytes:
    """Return the bytes of a source file, which are bounded. Raises as `open_source` does."""
    with open_source(files, source) as chunks:
        return b"".join(chunks)


def _unpack(chunks: Iterator[bytes], source: StoredSource) -> Iterator[bytes]:
    """Yield exactly `size` bytes of a member. What it packs beyond them is not unpacked."""
    left = source.size
    try:
        for content in _unpack_member(chunks):
            piece = content[:left]
            left -= len(piece)
            if piece:
                yield piece
            if not left:
                return
    except (Malformed, zlib.error) as error:
        raise Unavailable(f"the bundle with {source.path} is damaged: {error}") from error
    if left:
        raise Unavailable(f"the bundle with {source.path} is damaged: {left} bytes are missing")


def _unpack_member(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content that follows a member's header, unpacked in pieces. Raises Malformed, zlib.error."""
    head = b""
    position = _LOCAL_HEADER.size
    method = None
    unpacker = zlib.decompressobj(_DEFLATE_WINDOW)
    for chunk in chunks:
        packed = head + chunk
        if method is None and len(packed) >= _LOCAL_HEADER.size:
            magic, method, name_size, extra_size = _LOCAL_HEADER.unpack_from(packed)
            if magic != _LOCAL_MAGIC:
                raise Malformed("the header of the file is not there")
            position += name_size + extra_size
        if method is None or len(packed) < position:
            head = packed
            continue
        packed, head, position = packed[position:], b"", 0
        if method == _STORED:
            yield packed
            continue
        while packed and not unpacker.eof:
            yield unpacker.decompress(packed, PIECE_BYTES)
            packed = unpacker.unconsumed_tail

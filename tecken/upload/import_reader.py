"""Reading of objects to import, in any thread: at a bounded rate, unpacked, with keys from their content."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from tempfile import TemporaryFile
from threading import Lock
from typing import BinaryIO, Final, NamedTuple, cast

from django.conf import settings

from tecken.errors import TeckenError, TooLarge
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.listing import ListedObject, ListedPlace
from tecken.symbols.decompression import SMALL_BYTES, decompress
from tecken.symbols.layouts import FileKey
from tecken.upload.archive import FlatMember, NotReusable
from tecken.upload.file_rows import StoredRow
from tecken.upload.import_layouts import PACKED_SUFFIXES, ImportedPath
from tecken.upload.placement import place
from tecken.upload.tar_archive import FileSlice

GZIP_MAGIC: Final = b"\x1f\x8b"
BY_CONTENT: Final = "by content"
Known = dict[str, list[StoredRow]]


class Candidate(NamedTuple):
    """Object to import."""

    source: ListedObject
    path: ImportedPath

    @property
    def kind(self) -> str:
        """Type of the file, as far as its path shows it."""
        if self.path.key is None:
            return BY_CONTENT
        return self.path.key.file_type.name.lower().replace("_", " ")


class ImportJob(NamedTuple):
    """Candidate with the keys to store it under and their rows, or with why it cannot be stored.

    `spool` has the content of one that is identified by its content.
    """

    candidate: Candidate
    keys: Sequence[FileKey] = ()
    known: Known = {}  # noqa: RUF012 - nothing writes to it
    spool: FileSlice | None = None
    problem: Exception | str = ""


class ObjectReader:
    """Reader of the objects of one place, with at most `bytes_per_second` in all threads; 0 is no bound."""

    def __init__(self, place: ListedPlace, bytes_per_second: float) -> None:
        self._place = place
        self._throttle = Throttle(bytes_per_second)

    def locate(self, candidate: Candidate) -> ImportJob:
        """Copy an object to a file, and find the keys of its content."""
        # The caller closes it, after another thread has stored its content.
        spool = cast(BinaryIO, TemporaryFile(dir=settings.SPOOL_DIR))  # noqa: SIM115
        try:
            content = self._spool(candidate, spool)
            placement = place(FlatMember(candidate.path.parts, content))
        except (TeckenError, OSError) as error:
            placement, problem = "", error
        if isinstance(placement, str):
            spool.close()
            return ImportJob(candidate, problem=placement or problem)
        return ImportJob(candidate, placement.keys, spool=content)

    def _spool(self, candidate: Candidate, spool: BinaryIO) -> FileSlice:
        storage_services.disk_space().check(candidate.source.size)
        for chunk in self.read(candidate.source, None):
            spool.write(chunk)
        spool.flush()
        return FileSlice(spool, 0, spool.tell(), candidate.path.parts[-1])

    def read(self, source: ListedObject, key: FileKey | None) -> Iterator[bytes]:
        """Yield the content, unpacked unless the file's own name is that of a packed one."""
        if key and key.file_name.endswith(PACKED_SUFFIXES):
            return self._read_stored(source)
        return decompress(self._read_stored(source), _find_limit(source))

    def read_gzip(self, source: ListedObject, feed: Callable[[bytes], object]) -> Iterator[bytes]:
        """Yield a gzip object as it is, and pass the content to `feed`. Raises NotReusable for others."""
        chunks = self._read_stored(source)
        head = next(chunks, b"")
        if not head.startswith(GZIP_MAGIC):
            raise NotReusable("it is not in gzip form")
        passed: deque[bytes] = deque()

        def keep() -> Iterator[bytes]:
            for chunk in chain((head,), chunks):
                passed.append(chunk)
                yield chunk

        for text in decompress(keep(), _find_limit(source)):
            feed(text)
            while passed:
                yield passed.popleft()
        yield from passed

    def _read_stored(self, source: ListedObject) -> Iterator[bytes]:
        with self._place.open(source.path) as chunks:
            for chunk in chunks:
                self._throttle.spend(len(chunk))
                yield chunk


class Throttle:
    """Bound of the bytes per second that several threads read together; 0 is none."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._lock = Lock()
        self._free_at = 0.0

    def spend(self, size: int) -> None:
        """Wait until `size` bytes are within the bound."""
        if not self._rate:
            return
        with self._lock:
            begins = max(self._free_at, time.monotonic())
            self._free_at = begins + size / self._rate
        time.sleep(max(0.0, begins - time.monotonic()))


def _find_limit(source: ListedObject) -> int:
    """Return how many unpacked bytes an object may have. Raises TooLarge."""
    config = options()
    if source.size > config.symbol_max_bytes:
        raise TooLarge(f"it has {source.size} bytes, at most {config.symbol_max_bytes}")
    return min(config.symbol_max_bytes, max(SMALL_BYTES, source.size * config.upload_max_ratio))

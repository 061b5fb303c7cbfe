"""Dumps and reports in the storage of the site: `minidumps/<id>.dmp` and `minidumps/<id>.json.zst`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from tempfile import TemporaryFile
from typing import BinaryIO, Final, NamedTuple, cast

import zstandard

from tecken.errors import NotFound
from tecken.storage.backends.bucket import Bucket

ROOT: Final = "minidumps"
DUMP: Final = "dmp"
REPORT: Final = "json.zst"
NAME: Final = re.compile(rf"{ROOT}/([0-9a-f]{{32}})\.({DUMP}|json\.zst)")
CHUNK_BYTES: Final = 256 << 10
ANY_TIME: Final = datetime.min.replace(tzinfo=UTC)


class StoredPart(NamedTuple):
    """Dump or report in the storage."""

    dump_id: str
    kind: str
    size: int
    written: datetime


class DumpFiles:
    """Dumps and reports in a bucket. Every method raises Unavailable if the storage does not respond.

    `spool_dir` is the directory of temporary files.
    """

    def __init__(self, bucket: Bucket, spool_dir: Callable[[], str | None]) -> None:
        self._bucket = bucket
        self._spool_dir = spool_dir

    def put_dump(self, dump_id: str, file: BinaryIO) -> None:
        """Store a dump."""
        file.seek(0)
        self._bucket.put(_path(dump_id, DUMP), iter(partial(file.read, CHUNK_BYTES), b""))

    @contextmanager
    def open_dump(self, dump_id: str) -> Iterator[BinaryIO]:
        """Open a dump as a file of this host: its own file, or a copy without a name. Raises NotFound."""
        if file := self._bucket.open_file(_path(dump_id, DUMP)):
            with file:
                yield file
            return
        with cast(BinaryIO, TemporaryFile(dir=self._spool_dir())) as copy:
            copy.writelines(self._read(dump_id, DUMP))
            copy.flush()
            yield copy

    def has_dump(self, dump_id: str, since: datetime = ANY_TIME) -> bool:
        """Return whether a dump is stored that was written after a moment."""
        try:
            return self._bucket.head(_path(dump_id, DUMP))["last_modified"] >= since
        except NotFound:
            return False

    def put_report(self, dump_id: str, report: bytes) -> None:
        """Store a report."""
        self._bucket.put(_path(dump_id, REPORT), [zstandard.ZstdCompressor().compress(report)])

    def report(self, dump_id: str, since: datetime) -> bytes:
        """Return a report that was written after a moment. Raises NotFound."""
        found = self._bucket.get(_path(dump_id, REPORT))
        if found.meta["last_modified"] < since:
            raise NotFound("the report has expired")
        packed = b"".join(self._bucket.chunks(found))
        return zstandard.ZstdDecompressor().decompress(packed)

    def delete(self, dump_id: str, kind: str) -> None:
        """Delete a dump or a report, if it exists."""
        self._bucket.delete(_path(dump_id, kind))

    def entries(self) -> Iterator[StoredPart]:
        """Yield all dumps and reports."""
        for path, meta in self._bucket.entries(ROOT):
            if match := NAME.fullmatch(path):
                yield StoredPart(match[1], match[2], meta["size"], meta["last_modified"])

    def _read(self, dump_id: str, kind: str) -> Iterable[bytes]:
        return self._bucket.chunks(self._bucket.get(_path(dump_id, kind)))


def _path(dump_id: str, kind: str) -> str:
    return f"{ROOT}/{dump_id}.{kind}"

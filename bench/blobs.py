"""Native files in storage: how much space they take, and the CPU time to store and to read them.

    python -m bench.blobs FILE...

For each file: bytes in storage per byte of the file; megabytes of the file per second of CPU time when it is
stored (copied, hashed and compressed), stored again under another name, and read; and the bytes of storage
that a range of 64 KiB reads. The storage is a directory.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from tecken.storage.backends.bucket import Bucket, bucket_for
from tecken.storage.backends.files import ObjectFiles
from tecken.symbols.layouts import FileKey

if TYPE_CHECKING:
    from obstore import GetResult

COLUMNS = ("file", "MB", "stored %", "store MB/s", "again MB/s", "read MB/s", "KiB for a range", "ms")
CHUNK_BYTES = 1 << 20
RANGE_BYTES = 64 << 10
RANGES = 100


class Row(NamedTuple):
    name: str
    size: int
    stored: int
    store_seconds: float
    again_seconds: float
    read_seconds: float
    range_bytes: float
    range_seconds: float

    def cells(self) -> tuple[str, ...]:
        speeds = (self.store_seconds, self.again_seconds, self.read_seconds)
        return (
            self.name,
            f"{self.size / 1e6:.1f}",
            f"{100 * self.stored / self.size:.1f}",
            *(f"{self.size / 1e6 / seconds:.0f}" for seconds in speeds),
            f"{self.range_bytes / 1024:.0f}",
            f"{1000 * self.range_seconds:.1f}",
        )


class CountingFiles(ObjectFiles):
    """Files that count the bytes that are read from storage."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self.read_bytes = 0
        chunks = bucket.chunks

        def counted(result: GetResult) -> Iterator[bytes]:
            for chunk in chunks(result):
                self.read_bytes += len(chunk)
                yield chunk

        bucket.chunks = counted  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    paths = parser.parse_args().files
    settings.configure(SPOOL_DIR=None)
    print("|".join(COLUMNS))
    for path in paths:
        with TemporaryDirectory(prefix="bench-") as home:
            files = CountingFiles(bucket_for(Path(home).as_uri()))
            print("|".join(measure(files, path).cells()), flush=True)


def measure(files: CountingFiles, path: Path) -> Row:
    one, other = FileKey(path.name, "A" * 33, path.name), FileKey(path.name, "B" * 33, path.name)
    store_seconds = cpu_seconds(lambda: files.put(one, chunks_of(path)))
    again_seconds = cpu_seconds(lambda: files.put(other, chunks_of(path)))
    size = path.stat().st_size
    stored = sum(found.size for _, found in files.blobs.entries())
    read_seconds = cpu_seconds(lambda: read(files, one, 0, size))
    files.read_bytes = 0
    chance = random.Random(1)
    starts = [chance.randrange(max(1, size - RANGE_BYTES)) for _ in range(RANGES)]
    range_seconds = cpu_seconds(lambda: read_ranges(files, one, starts))
    return Row(
        path.name,
        size,
        stored,
        store_seconds,
        again_seconds,
        read_seconds,
        files.read_bytes / RANGES,
        range_seconds / RANGES,
    )


def chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def read(files: ObjectFiles, key: FileKey, start: int, end: int) -> None:
    with files.read(key, start, end) as chunks:
        for _ in chunks:
            pass


def read_ranges(files: ObjectFiles, key: FileKey, starts: Iterable[int]) -> None:
    for start in starts:
        read(files, key, start, start + RANGE_BYTES)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of all threads, so that a busy machine makes no difference."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()

"""Symbol files and page files on object storage.

Ours have the keys `v1/<debug file>/<DEBUG ID>/<symbol file>` and, beside it, the same with `.pages` added.
A multipart upload whose process was killed stays invisible; let a lifecycle rule of the bucket remove it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tecken.errors import TooMuch
from tecken.sources.bucket import Bucket
from tecken.symbols.ids import ModuleKey, symbol_file_name

if TYPE_CHECKING:
    from obstore import Attributes

OWN = "v1/"
PLAIN = ""
MAX_BYTES = 4 << 30
# gzip, because every client that is redirected to the object can decode it.
GZIP_LEVEL = 4
GZIP_WINDOW = 31  # zlib's number for a gzip wrapper
STORED_AS: Attributes = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}


class ObjectSymbols:
    """Symbol files under `layout`: OWN for what we keep, PLAIN for an upstream with the bare paths."""

    def __init__(self, bucket: Bucket, layout: str = OWN, max_bytes: int = MAX_BYTES) -> None:
        self.name = bucket.name
        self._bucket = bucket
        self._layout = layout
        self._max_bytes = max_bytes

    @contextmanager
    def open(self, module: ModuleKey) -> Iterator[Iterator[bytes]]:
        found = self._bucket.get(self._key(module))
        if found.meta["size"] > self._max_bytes:
            raise TooMuch(f"{self.name}: {module} has more than {self._max_bytes} bytes")
        yield self._bucket.chunks(found)

    def put_symbols(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        self._bucket.put(self._key(module), gzipped(chunks), STORED_AS)

    def _key(self, module: ModuleKey) -> str:
        return f"{self._layout}{module}/{symbol_file_name(module.debug_file)}"


class ObjectPageFiles:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, module: ModuleKey, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._bucket.ranges(self._key(module), spans)

    def write(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        self._bucket.put(self._key(module), chunks)

    def delete(self, module: ModuleKey) -> None:
        self._bucket.delete(self._key(module))

    def _key(self, module: ModuleKey) -> str:
        return f"{OWN}{module}/{symbol_file_name(module.debug_file)}.pages"


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    for chunk in chunks:
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()

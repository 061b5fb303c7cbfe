"""Symbol files of an upstream, and our page files, on object storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from tecken.errors import TooMuch
from tecken.storage.backends.bucket import Bucket
from tecken.storage.port import Patience
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import (
    PAGE_ROOTS,
    ROOTS,
    is_former_page_file,
    page_path,
    parse_page_path,
    symbol_file,
)


class ObjectSymbols:
    """An upstream in a bucket, with the bare paths `<debug file>/<DEBUG ID>/<symbol file>`."""

    def __init__(self, bucket: Bucket, patience: Callable[[], Patience] = Patience) -> None:
        self.name = bucket.name
        self._bucket = bucket
        self._patience = patience

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        found = self._bucket.get(str(symbol_file(module)))
        most = self._patience().max_bytes
        if found.meta["size"] > most:
            raise TooMuch(f"{self.name}: {module} has more than {most} bytes")
        yield self._bucket.chunks(found)


class ObjectPageFiles:
    """A PageFiles in a bucket, under the paths that `tecken.symbols.layouts` has for them."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._bucket.ranges(page_path(module), spans)

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        self._bucket.put(page_path(module), chunks)

    def delete(self, module: ObjectId) -> None:
        self._bucket.delete(page_path(module))

    def entries(self) -> Iterator[tuple[ObjectId, datetime]]:
        for root in PAGE_ROOTS:
            for path, meta in self._bucket.entries(root):
                if (module := parse_page_path(path)) is not None:
                    yield module, meta["last_modified"]

    def former(self) -> Iterator[str]:
        for root in ROOTS:
            yield from (path for path, _ in self._bucket.entries(root) if is_former_page_file(path))

    def delete_former(self, path: str) -> None:
        if is_former_page_file(path):
            self._bucket.delete(path)

"""Page files on object storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from tecken.storage.backends.bucket import Bucket
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import (
    PAGE_ROOTS,
    ROOTS,
    is_former_page_file,
    page_path,
    parse_page_path,
)


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
        """Yield the paths of page files of a former release."""
        for root in ROOTS:
            yield from (path for path, _ in self._bucket.entries(root) if is_former_page_file(path))

    def delete_former(self, path: str) -> None:
        """Delete a page file of a former release."""
        # The check protects uploaded files, which lie below the same root.
        if is_former_page_file(path):
            self._bucket.delete(path)

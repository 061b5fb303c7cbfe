"""Staging of sent files, which are not served until their upload is completed, checked and stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from tecken.storage.backends.bucket import Bucket

ROOT = "incoming"
NAME = re.compile(rf"{ROOT}/(\d+)\.(\d+)")


class Slot(NamedTuple):
    """Place of one file of one upload."""

    upload: int
    number: int

    def __str__(self) -> str:
        return f"{ROOT}/{self.upload}.{self.number}"


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
        for name, meta in self._bucket.entries(ROOT):
            if match := NAME.fullmatch(name):
                yield Slot(*map(int, match.groups())), meta["last_modified"]

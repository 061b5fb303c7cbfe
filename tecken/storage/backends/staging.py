"""What clients send: seen by nobody until its upload is completed, checked and kept elsewhere."""

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
    """One file of one upload."""

    upload: int
    number: int

    def __str__(self) -> str:
        return f"{ROOT}/{self.upload}.{self.number}"


class Staging:
    """Objects `incoming/<upload>.<number>`, beside the uploaded files of the same bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, slot: Slot, chunks: Iterable[bytes]) -> None:
        """Whole or not at all; replaces an older one. Raises Unavailable, or what `chunks` raises."""
        self._bucket.put(str(slot), chunks)

    @contextmanager
    def read(self, slot: Slot) -> Iterator[Iterator[bytes]]:
        """Raises NotFound or Unavailable."""
        yield self._bucket.chunks(self._bucket.get(str(slot)))

    def signed_put(self, slot: Slot, seconds: float) -> str | None:
        """None where the storage has no URLs."""
        return self._bucket.sign("PUT", str(slot), seconds)

    def delete(self, slot: Slot) -> None:
        """What is not there is deleted already. Raises Unavailable."""
        self._bucket.delete(str(slot))

    def entries(self) -> Iterator[tuple[Slot, datetime]]:
        """All of them, with the time each was written. Raises Unavailable."""
        for name, meta in self._bucket.entries(ROOT):
            if found := NAME.fullmatch(name):
                yield Slot(*map(int, found.groups())), meta["last_modified"]

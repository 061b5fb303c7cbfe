"""Files of upstreams in buckets and directories, with the interface of `FileTransport`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from tecken.errors import NotFound, TooLarge, Unavailable
from tecken.storage.backends.bucket import Bucket
from tecken.storage.port import FetchLimits

# File that marks a store of symstore with two tiers, and the letters of a name in the first tier.
TIERS: Final = "index2.txt"
TIER: Final = 2
# Entries of a directory that are compared with a name in another case.
MAX_ENTRIES: Final = 500_000


class BucketTransport:
    """Files of one bucket or directory that someone else fills.

    obstore's own deadline is for one request. The one of `get` is compared with the clock at each chunk.
    """

    def __init__(self, bucket: Bucket, limits: Callable[[], FetchLimits] = FetchLimits) -> None:
        self.name = bucket.name
        self._bucket = bucket
        self._limits = limits

    def new_deadline(self) -> float:
        """Return when fetches that begin now must have ended, as `FileTransport.new_deadline` does."""
        return time.monotonic() + self._limits().deadline

    @contextmanager
    def get(self, path: str, ends: float = math.inf) -> Iterator[Iterator[bytes]]:
        """Read a file, as `FileTransport.get` describes it."""
        max_bytes = self._limits().max_bytes
        ends = min(ends, self.new_deadline())
        self._check_deadline(ends)
        self._refuse_device(path)
        found = self._bucket.get(path)
        if found.meta["size"] > max_bytes:
            raise TooLarge(f"{self.name}: a file of more than {max_bytes} bytes")
        yield self._read(self._bucket.chunks(found), ends)

    def check(self, path: str, hops: int = 0, ends: float = math.inf) -> None:  # noqa: ARG002 - a bucket passes nothing on
        """Return if a file is there, as `FileTransport.check` does."""
        self._check_deadline(ends)
        self._refuse_device(path)
        self._bucket.head(path)

    def spellings(self, path: str) -> Sequence[str]:
        """Return the paths under which symstore may have written a file: in tiers, and in any case."""
        path = f"{path[:TIER]}/{path}" if self._has_tiers() else path
        if self._bucket.directory:
            return [find_spelling(self._bucket.directory, path)]
        return [*dict.fromkeys((path, path.lower()))]

    def public_url(self, path: str) -> str | None:  # noqa: ARG002
        """Return None: clients have no credentials for a bucket."""
        return None

    def close(self) -> None:
        """Do nothing: the connections are those of obstore."""

    def _has_tiers(self) -> bool:
        try:
            self._bucket.head(TIERS)
        except NotFound:
            return False
        return True

    def _read(self, chunks: Iterator[bytes], ends: float) -> Iterator[bytes]:
        for chunk in chunks:
            self._check_deadline(ends)
            yield chunk

    def _check_deadline(self, ends: float) -> None:
        if time.monotonic() > ends:
            raise Unavailable(f"{self.name}: no answer in time")

    def _refuse_device(self, path: str) -> None:
        """Raise NotFound for a directory or a device: to open a named pipe would wait for its writer."""
        self._bucket.refuse_long(path, NotFound)
        directory = self._bucket.directory
        if directory and (directory / path).exists() and not (directory / path).is_file():
            raise NotFound(f"{self.name}: {path} is no regular file")


def find_spelling(directory: Path, path: str) -> str:
    """Return the path below a directory that differs from `path` in case at most; `path` without any."""
    here, found = directory, []
    for part in path.split("/"):
        name = part if os.path.lexists(here / part) else _find_other_case(here, part)
        if not name:
            return path
        found.append(name)
        here /= name
    return "/".join(found)


def _find_other_case(directory: Path, name: str) -> str:
    folded = name.lower()
    try:
        with os.scandir(directory) as entries:
            names = (entry.name for entry in islice(entries, MAX_ENTRIES))
            return next((other for other in names if other.lower() == folded), "")
    except OSError:
        # Whether the directory is missing or cannot be read is a result of reading the file.
        return ""

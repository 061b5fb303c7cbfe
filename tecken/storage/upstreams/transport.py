"""The interface of a transport: how the files of an upstream are read, whatever its layout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class FileTransport(Protocol):
    """Files of one server, bucket or directory."""

    name: str
    """Name in errors; never with credentials."""

    def new_deadline(self) -> float:
        """Return when fetches that begin now must have ended, in the seconds of `time.monotonic()`."""
        ...

    def get(self, path: str, ends: float = math.inf) -> AbstractContextManager[Iterator[bytes]]:
        """Fetch a file, in chunks as `SymbolSource.open` describes them.

        `ends` is a deadline that several fetches share; one that is later than `new_deadline` has no effect.
        """
        ...

    def check(self, path: str, hops: int = 0, ends: float = math.inf) -> None:
        """Return if a file is there, otherwise raise NotFound or Unavailable.

        `ends` is a deadline that several checks share, as that of `get`. `hops` is the number of servers that
        have passed on the request which this is for.
        """
        ...

    def spellings(self, path: str) -> Sequence[str]:
        """Return the paths under which a store of symstore may have a file. Raises Unavailable."""
        ...

    def public_url(self, path: str) -> str | None:
        """Return a URL from which anyone can read the file; None where that needs credentials."""
        ...

    def close(self) -> None:
        """Close idle connections."""
        ...

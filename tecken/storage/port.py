"""Where symbol files come from, and where our page files live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey


class SymbolSource(Protocol):
    """A place that has symbol files."""

    name: str
    """What errors call it; never with credentials."""

    def open(self, module: ObjectId) -> AbstractContextManager[Iterator[bytes]]:
        """The symbol file as stored (plain, gzip or zstd), in chunks of any size.

        Entering raises NotFound, Unavailable or TooLarge; so may the iteration, with the last two.
        """


class Upstream(SymbolSource, Protocol):
    """A source that someone else maintains."""

    def public_url(self, module: ObjectId) -> str | None:
        """Return a URL from which anyone can read the symbol file, there or not.

        None where there is none, or where reading it needs credentials.
        """
        ...


class Stored(NamedTuple):
    """`size` in bytes as stored; `etag` without quotes, another one for other bytes."""

    size: int
    etag: str
    modified: datetime


class OwnFiles(Protocol):
    """Files of any kind that were uploaded to us: the regular ones, or those of try builds.

    Every method raises Unavailable when the storage does not answer. A name that the storage cannot have
    is NotFound when asked for and InvalidInput when written.
    """

    name: str
    """What errors call it; never with credentials."""

    def stat(self, key: FileKey) -> Stored:
        """Raises NotFound."""
        ...

    def read(
        self, key: FileKey, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Bytes `start` to `end` as stored, in chunks of any size; an `end` past the file's is the file's.

        Entering raises NotFound, or ValueError unless 0 <= start < end; Unavailable when nothing of it is
        in the file, which must have been replaced since its `stat`.
        """
        ...

    def other_case(self, key: FileKey) -> FileKey:
        """Return the file of a Windows module that was put last under this name in another case.

        It may have been deleted since. Raises NotFound, also when `key` is the only spelling.
        """
        ...

    def put(self, key: FileKey, chunks: Iterable[bytes]) -> Stored:
        """Keep a file, given as it is to be stored: as gzip when its type is compressed.

        Visible whole or not at all; replaces an older one. Raises InvalidInput, and what `chunks` raises.
        """
        ...

    def delete(self, key: FileKey) -> None:
        """Also when it is not there."""
        ...

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        """A URL from which anybody can read the file, there or not; None where the storage has no URLs."""
        ...

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        """A URL to which anybody can PUT the file; None where the storage has no URLs."""
        ...

    def keys(self) -> Iterator[FileKey]:
        """All of them, in no order."""
        ...

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        """All of them with their `stat`, at the cost of `keys`."""
        ...


class PageFiles(Protocol):
    """The page file of each module: one for all spellings of its name."""

    def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each [start, end), in the order asked; every span has at least one byte.

        Raises NotFound, Unavailable, or MalformedPageFile when a span is not wholly in the file.
        """

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        """Visible whole or not at all; replaces an older one.

        Raises Unavailable, TooLarge when the storage allows no name that long, or what `chunks` raises.
        """

    def delete(self, module: ObjectId) -> None:
        """What is not there is deleted already. Raises Unavailable."""

    def entries(self) -> Iterator[tuple[ObjectId, datetime]]:
        """Every module with a page file, and when that was written, in no order. Raises Unavailable."""

    def former(self) -> Iterator[str]:
        """Return the paths of page files under names that are no longer read. Raises Unavailable."""

    def delete_former(self, path: str) -> None:
        """Delete one of `former`. Raises Unavailable."""


class FetchLimits(NamedTuple):
    """Limits of one fetch: seconds of silence and of the whole request, bytes of the unpacked symbol file."""

    timeout: float = 10.0
    deadline: float = 300.0
    max_bytes: int = 4 << 30


TOO_MANY_REQUESTS = 429
# 4xx statuses about the moment, not about the file: Request Timeout, Too Early, Too Many Requests.
_TEMPORARY = (408, 425, TOO_MANY_REQUESTS)


def is_refusal(status: int) -> bool:
    """Return whether a host that is up refuses this one file, so that asking again brings the same answer."""
    return 400 <= status < 500 and status not in _TEMPORARY

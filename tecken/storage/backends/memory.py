"""Symbol files and page files in a dictionary, for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import BinaryIO
from urllib.parse import quote

from tecken.errors import InvalidInput, MalformedPageFile, NotFound, TeckenError, Unavailable
from tecken.storage.backends.files import check_span, refuse_name
from tecken.storage.port import FileContent, ServedFile, Stored
from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey, FileType

CHUNK_BYTES = 64 << 10
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class MemorySymbols:
    """Symbol source in memory. Tests may change `files` at any time; an error in it is raised."""

    def __init__(
        self, files: Mapping[ObjectId, bytes | TeckenError] | None = None, name: str = "memory"
    ) -> None:
        self.name = name
        self.files = dict(files or {})

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Read a symbol file, or raise its error."""
        stored = self.files.get(module)
        if stored is None:
            raise NotFound(f"{self.name} has no {module}")
        if isinstance(stored, TeckenError):
            raise stored
        yield _split(stored)

    served_types = frozenset({FileType.SYMBOL_FILE})

    def locate(self, file: ServedFile) -> str:
        """Return the names of a module whose symbol file is there, or raise its error."""
        with self.open(file.module):
            return file.module.key

    @contextmanager
    def read(self, path: str) -> Iterator[Iterator[bytes]]:
        """Read a symbol file that was located."""
        with self.open(ObjectId.from_key(path)) as chunks:
            yield chunks

    def public_url(self, path: str) -> str | None:  # noqa: ARG002
        """Return None: memory has no URLs."""
        return None


class MemoryFiles:
    """Uploaded files in memory. Every method raises the error in `outage`; with a `url` URLs are signed."""

    def __init__(self, name: str = "memory", url: str | None = None) -> None:
        self.name = name
        self.files: dict[FileKey, bytes] = {}
        self.written: dict[FileKey, datetime] = {}
        self.outage: Unavailable | None = None
        self._url = url

    def stat(self, key: FileKey) -> Stored:
        """Return size, etag and time of a file."""
        content = self._find(key)
        return Stored(len(content), sha256(content).hexdigest()[:16], self.written.get(key, EPOCH))

    @contextmanager
    def read(self, key: FileKey, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Read a part of a file."""
        check_span(start, end)
        content = self._find(key)
        if (start or end is not None) and start >= len(content):
            raise Unavailable(f"{self.name}: {key} has only {len(content)} bytes")
        yield _split(content[start:end])

    def open_file(self, key: FileKey) -> BinaryIO | None:  # noqa: ARG002
        """Return None: memory has no files."""
        self._raise_outage()
        return None

    def recall(self, key: FileKey, stored: Stored) -> bytes | None:  # noqa: ARG002
        """Return None: nothing is kept."""
        return None

    def other_case(self, key: FileKey) -> FileKey:
        """Return the key that was put last and differs in case only."""
        self._raise_outage()
        for other in reversed(self.files):
            if other != key and is_windows_name(key.debug_file) and str(other).lower() == str(key).lower():
                return other
        raise NotFound(f"{self.name} has {key} in no other case")

    def put(
        self,
        key: FileKey,
        chunks: Iterable[bytes],
        content: FileContent | None = None,  # noqa: ARG002
    ) -> Stored:
        """Store a file."""
        self._raise_outage()
        refuse_name(key, InvalidInput)
        self.files[key] = b"".join(chunks)
        self.written[key] = datetime.now(UTC)
        return self.stat(key)

    def delete(self, key: FileKey) -> None:
        """Delete a file, if it exists."""
        self._raise_outage()
        self.files.pop(key, None)

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        """Return a URL for reading; None without a `url`."""
        return self._sign(key, seconds)

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        """Return a URL for writing; None without a `url`."""
        return self._sign(key, seconds)

    def keys(self) -> Iterator[FileKey]:
        """Yield all keys."""
        return (key for key, _ in self.entries())

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        """Yield all files with their `stat`."""
        self._raise_outage()
        yield from [(key, self.stat(key)) for key in self.files]

    def _find(self, key: FileKey) -> bytes:
        self._raise_outage()
        if key not in self.files:
            raise NotFound(f"{self.name} has no {key}")
        return self.files[key]

    def _sign(self, key: FileKey, seconds: float) -> str | None:
        self._raise_outage()
        return self._url and f"{self._url}/v1/{quote(str(key))}?expires={seconds}"

    def _raise_outage(self) -> None:
        if self.outage:
            raise self.outage


class MemoryPageFiles:
    """Page files in memory. Every method raises the error in `outage`."""

    def __init__(self) -> None:
        self.files: dict[ObjectId, bytes] = {}
        self.written: dict[ObjectId, datetime] = {}
        self.outage: Unavailable | None = None

    def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each span."""
        self._raise_outage()
        if any(not 0 <= start < end for start, end in spans):
            raise MalformedPageFile(f"no such span in the page file of {module}")
        if module not in self.files:
            raise NotFound(f"no page file of {module}")
        content = self.files[module]
        if any(end > len(content) for _, end in spans):
            raise MalformedPageFile(f"the page file of {module} has only {len(content)} bytes")
        return [content[start:end] for start, end in spans]

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        """Store a page file."""
        self._raise_outage()
        self.files[module] = b"".join(chunks)
        self.written[module] = datetime.now(UTC)

    def delete(self, module: ObjectId) -> None:
        """Delete a page file, if it exists."""
        self._raise_outage()
        self.files.pop(module, None)

    def entries(self) -> Iterator[tuple[ObjectId, datetime]]:
        """Yield all modules with the times of their page files."""
        self._raise_outage()
        yield from [(module, self.written.get(module, EPOCH)) for module in self.files]

    def former(self) -> Iterator[str]:
        """Return nothing: memory has no page files of a former release."""
        self._raise_outage()
        return iter(())

    def delete_former(self, path: str) -> None:  # noqa: ARG002
        """Do nothing: memory has no page files of a former release."""
        self._raise_outage()

    def _raise_outage(self) -> None:
        if self.outage:
            raise self.outage


def _split(content: bytes) -> Iterator[bytes]:
    return (content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES))

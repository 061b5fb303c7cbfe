"""Symbol files and page files in a dictionary, for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from tecken.errors import InvalidInput, MalformedPageFile, NotFound, TeckenError, Unavailable
from tecken.storage.backends.uploaded_files import check_span, refuse_name
from tecken.storage.port import Stored
from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey

CHUNK_BYTES = 64 << 10
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class MemorySymbols:
    """`files` may be changed at any time; an error in it is raised instead of being read."""

    def __init__(
        self, files: Mapping[ObjectId, bytes | TeckenError] | None = None, name: str = "memory"
    ) -> None:
        self.name = name
        self.files = dict(files or {})

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        found = self.files.get(module)
        if found is None:
            raise NotFound(f"{self.name} has no {module}")
        if isinstance(found, TeckenError):
            raise found
        stored = found
        yield (stored[at : at + CHUNK_BYTES] for at in range(0, len(stored), CHUNK_BYTES))

    def public_url(self, module: ObjectId) -> str | None:  # noqa: ARG002
        """Return None: memory has no URLs."""
        return None


class MemoryFiles:
    """An OwnFiles. While `away` holds an error, every method raises it; with a `url` it signs."""

    def __init__(self, name: str = "memory", url: str | None = None) -> None:
        self.name = name
        self.files: dict[FileKey, bytes] = {}
        self.written: dict[FileKey, datetime] = {}
        self.away: Unavailable | None = None
        self._url = url

    def stat(self, key: FileKey) -> Stored:
        found = self._found(key)
        return Stored(len(found), sha256(found).hexdigest()[:16], self.written.get(key, EPOCH))

    @contextmanager
    def read(self, key: FileKey, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        check_span(start, end)
        found = self._found(key)
        if (start or end is not None) and start >= len(found):
            raise Unavailable(f"{self.name}: {key} has only {len(found)} bytes")
        wanted = found[start:end]
        yield (wanted[at : at + CHUNK_BYTES] for at in range(0, len(wanted), CHUNK_BYTES))

    def other_case(self, key: FileKey) -> FileKey:
        self._answer()
        for found in reversed(self.files):
            if found != key and is_windows_name(key.debug_file) and str(found).lower() == str(key).lower():
                return found
        raise NotFound(f"{self.name} has {key} in no other case")

    def put(self, key: FileKey, chunks: Iterable[bytes]) -> Stored:
        self._answer()
        refuse_name(key, InvalidInput)
        self.files[key] = b"".join(chunks)
        self.written[key] = datetime.now(UTC)
        return self.stat(key)

    def delete(self, key: FileKey) -> None:
        self._answer()
        self.files.pop(key, None)

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        return self._signed(key, seconds)

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        return self._signed(key, seconds)

    def keys(self) -> Iterator[FileKey]:
        return (key for key, _ in self.entries())

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        self._answer()
        yield from [(key, self.stat(key)) for key in self.files]

    def _found(self, key: FileKey) -> bytes:
        self._answer()
        if key not in self.files:
            raise NotFound(f"{self.name} has no {key}")
        return self.files[key]

    def _signed(self, key: FileKey, seconds: float) -> str | None:
        self._answer()
        return self._url and f"{self._url}/v1/{quote(str(key))}?expires={seconds}"

    def _answer(self) -> None:
        if self.away:
            raise self.away


class MemoryPageFiles:
    """While `away` holds an error, every method raises it."""

    def __init__(self) -> None:
        self.files: dict[ObjectId, bytes] = {}
        self.written: dict[ObjectId, datetime] = {}
        self.away: Unavailable | None = None

    def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        self._answer()
        if any(not 0 <= start < end for start, end in spans):
            raise MalformedPageFile(f"no such span in the page file of {module}")
        if module not in self.files:
            raise NotFound(f"no page file of {module}")
        found = self.files[module]
        if any(end > len(found) for _, end in spans):
            raise MalformedPageFile(f"the page file of {module} has only {len(found)} bytes")
        return [found[start:end] for start, end in spans]

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        self._answer()
        self.files[module] = b"".join(chunks)
        self.written[module] = datetime.now(UTC)

    def delete(self, module: ObjectId) -> None:
        self._answer()
        self.files.pop(module, None)

    def entries(self) -> Iterator[tuple[ObjectId, datetime]]:
        self._answer()
        yield from [(module, self.written.get(module, EPOCH)) for module in self.files]

    def former(self) -> Iterator[str]:
        """Return nothing: memory has no page files of a former release."""
        self._answer()
        return iter(())

    def delete_former(self, path: str) -> None:  # noqa: ARG002
        self._answer()

    def _answer(self) -> None:
        if self.away:
            raise self.away

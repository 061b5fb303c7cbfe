"""Symbol files and page files in a dictionary, for tests and demonstrations."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tecken.errors import Absent, CouldNotAsk, MalformedPageFile, TeckenError
from tecken.symbols.ids import ModuleKey

CHUNK_BYTES = 64 << 10


class MemorySymbols:
    """`files` may be changed at any time; an error in it is raised instead of being read."""

    def __init__(
        self, files: Mapping[ModuleKey, bytes | TeckenError] | None = None, name: str = "memory"
    ) -> None:
        self.name = name
        self.files = dict(files or {})

    @contextmanager
    def open(self, module: ModuleKey) -> Iterator[Iterator[bytes]]:
        found = self.files.get(module)
        if found is None:
            raise Absent(f"{self.name} has no {module}")
        if isinstance(found, TeckenError):
            raise found
        stored = found
        yield (stored[at : at + CHUNK_BYTES] for at in range(0, len(stored), CHUNK_BYTES))

    def put_symbols(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        self.files[module] = gzip.compress(b"".join(chunks))


class MemoryPageFiles:
    """While `away` holds an error, every method raises it."""

    def __init__(self) -> None:
        self.files: dict[ModuleKey, bytes] = {}
        self.away: CouldNotAsk | None = None

    def read(self, module: ModuleKey, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        self._answer()
        if any(not 0 <= start < end for start, end in spans):
            raise MalformedPageFile(f"no such span in the page file of {module}")
        if module not in self.files:
            raise Absent(f"no page file of {module}")
        found = self.files[module]
        if any(end > len(found) for _, end in spans):
            raise MalformedPageFile(f"the page file of {module} has only {len(found)} bytes")
        return [found[start:end] for start, end in spans]

    def write(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        self._answer()
        self.files[module] = b"".join(chunks)

    def delete(self, module: ModuleKey) -> None:
        self._answer()
        self.files.pop(module, None)

    def _answer(self) -> None:
        if self.away:
            raise self.away

"""A bar of bytes on a terminal, nothing in a build log."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tqdm import tqdm

CHUNK_BYTES = 1 << 18


class Bar:
    """Several threads may move it."""

    def __init__(self, what: str, total: int) -> None:
        self._bar = tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=None, leave=False)
        self._lock = threading.Lock()

    def move(self, size: float) -> None:
        with self._lock:
            self._bar.update(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def read(self, file: IO[bytes]) -> Iterator[bytes]:
        """The rest of an open file."""
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            self.move(len(chunk))

    def read_path(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from self.read(file)

"""Progress bar and outcome of a batch of files."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tqdm import tqdm

CHUNK_BYTES = 1 << 18


class Bar:
    """Progress bar in bytes on a terminal; a build log shows nothing. Several threads may move it."""

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(desc=title, total=total, unit="B", unit_scale=True, disable=None, leave=False)
        self._lock = threading.Lock()

    def move(self, size: float) -> None:
        """Move the bar forward by `size` bytes."""
        with self._lock:
            self._bar.update(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def read(self, path: Path) -> Iterator[bytes]:
        """Yield the content of a file in chunks, and move the bar after each."""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                self.move(len(chunk))


class Outcome(NamedTuple):
    """Result of a batch. `warnings` concern files that are stored; `uploads` are the server's numbers."""

    stored: int = 0
    there_before: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    uploads: tuple[int, ...] = ()

    def plus(self, other: Outcome) -> Outcome:
        """Return the outcome of both batches together."""
        return Outcome(
            self.stored + other.stored,
            self.there_before + other.there_before,
            self.problems + other.problems,
            self.warnings + other.warnings,
            self.uploads + other.uploads,
        )


def split_warnings(upload: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line for each file that the server refused, and for each that it stored with a warning."""
    refused: list[str] = []
    stored: list[str] = []
    for warning in upload.get("warnings") or ():
        lines = refused if warning.get("stored") is False else stored
        lines.append(f"{warning.get('key')}: {warning.get('message')}")
    return tuple(refused), tuple(stored)


def find_numbers(upload: Mapping[str, Any]) -> Iterable[int]:
    """Yield the number of the upload, which older servers do not send."""
    if isinstance(upload.get("id"), int):
        yield upload["id"]

"""What came of a batch of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """`warnings` are of files that are stored; `uploads` are the server's numbers."""

    stored: int = 0
    there_before: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    uploads: tuple[int, ...] = ()

    def plus(self, other: Outcome) -> Outcome:
        return Outcome(
            self.stored + other.stored,
            self.there_before + other.there_before,
            self.problems + other.problems,
            self.warnings + other.warnings,
            self.uploads + other.uploads,
        )


def warnings_of(upload: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line for each file that the server refused, and for each that it stored with a warning."""
    refused: list[str] = []
    stored: list[str] = []
    for one in upload.get("warnings") or ():
        (refused if one.get("stored") is False else stored).append(f"{one.get('key')}: {one.get('message')}")
    return tuple(refused), tuple(stored)


def numbers_of(upload: Mapping[str, Any]) -> Iterable[int]:
    """Yield the upload's number, which an older server does not give."""
    if isinstance(upload.get("id"), int):
        yield upload["id"]

"""Records of one process, for tests and for a site without Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tecken.jobs.records import Letter


class MemoryRecords:
    def __init__(self) -> None:
        self._starts: Counter[str] = Counter()
        self._dead: dict[str, Letter] = {}

    def begin(self, job: str) -> int:
        self._starts[job] += 1
        return self._starts[job]

    def end(self, job: str) -> None:
        self._starts.pop(job, None)
        self._dead.pop(job, None)

    def bury(self, letter: Letter) -> None:
        self._starts.pop(letter.id, None)
        self._dead[letter.id] = letter

    def letters(self) -> list[Letter]:
        return sorted(self._dead.values(), key=lambda letter: -letter.died)

    def letter(self, job: str) -> Letter | None:
        return self._dead.get(job)

    def drop(self, jobs: Iterable[str]) -> int:
        return sum(self._dead.pop(job, None) is not None for job in jobs)

    def clean(self) -> None:
        """Starts of lost jobs end with the process."""

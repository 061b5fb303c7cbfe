"""What came of a batch of files."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    stored: int = 0
    there_before: int = 0
    problems: tuple[str, ...] = ()

    def plus(self, other: Outcome) -> Outcome:
        return Outcome(
            self.stored + other.stored,
            self.there_before + other.there_before,
            self.problems + other.problems,
        )

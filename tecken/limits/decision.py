"""What follows from an answer, whoever gave it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tecken.errors import OverLimit, TooMuch
from tecken.limits.port import Cost, Limit, Standing, Verdict


class Decision(NamedTuple):
    """`refusing` has one of each standing. `at` in microseconds of the epoch."""

    allowed: bool
    at: int
    standings: tuple[Standing, ...]
    refusing: tuple[bool, ...]


def verdict(decision: Decision, *, local: bool = False) -> Verdict:
    """Raises OverLimit."""
    if decision.allowed:
        return Verdict(decision.standings, local, decision.at)
    pairs = zip(decision.standings, decision.refusing, strict=True)
    refused = [standing for standing, refuses in pairs if refuses]
    worst = max(refused, key=lambda standing: standing.reset)
    names = tuple(standing.limit.name for standing in refused)
    raise OverLimit(f"More than {worst.limit}", worst.reset, names, decision.standings)


def check_size(cost: Cost, limits: Sequence[Limit]) -> None:
    """Raises TooMuch for what no waiting would allow."""
    for limit in limits:
        if cost.of(limit.unit) > limit.quantity:
            raise TooMuch(f"{cost.of(limit.unit)} {limit.unit} at once are more than {limit}")

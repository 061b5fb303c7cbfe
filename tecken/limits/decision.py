"""What an answer says of limits: draft-ietf-httpapi-ratelimit-headers, structured fields."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tecken.errors import OverLimit, TooMuch
from tecken.limits.port import SECONDS, Cost, Decision, Limit, LimitStatus

UNITS = {"requests": "", "frames": ';qu="frames"', "bytes": ';qu="content-bytes"'}


def policy_header(statuses: Iterable[LimitStatus]) -> str:
    """`RateLimit-Policy`: `"requests-minute-address";q=600;w=60, ...`"""
    return ", ".join(map(_policy, (standing.limit for standing in statuses)))


def status_header(statuses: Iterable[LimitStatus]) -> str:
    """`RateLimit`: `"requests-minute-address";r=599;t=1, ...`; `t` in seconds, rounded up."""
    return ", ".join(f'"{one.limit.name}";r={one.remaining};t={math.ceil(one.reset)}' for one in statuses)


def _policy(limit: Limit) -> str:
    """A month has no number of seconds."""
    seconds = SECONDS.get(limit.window)
    window = f";w={seconds:.0f}" if seconds else ""
    return f'"{limit.name}";q={limit.quantity}{window}{UNITS[limit.unit]}'


class Evaluation(NamedTuple):
    """`refusing` has one of each standing. `at` in microseconds of the epoch."""

    allowed: bool
    at: int
    statuses: tuple[LimitStatus, ...]
    refusing: tuple[bool, ...]


def enforce(decision: Evaluation, *, local: bool = False) -> Decision:
    """Raises OverLimit."""
    if decision.allowed:
        return Decision(decision.statuses, local, decision.at)
    pairs = zip(decision.statuses, decision.refusing, strict=True)
    refused = [standing for standing, refuses in pairs if refuses]
    worst = max(refused, key=lambda standing: standing.reset)
    names = tuple(standing.limit.name for standing in refused)
    raise OverLimit(f"More than {worst.limit}", worst.reset, names, decision.statuses)


def check_size(cost: Cost, limits: Sequence[Limit]) -> None:
    """Raises TooMuch for what no waiting would allow."""
    for limit in limits:
        if cost.of(limit.unit) > limit.quantity:
            raise TooMuch(f"{cost.of(limit.unit)} {limit.unit} at once are more than {limit}")

"""Decisions about limits, and their headers (draft-ietf-httpapi-ratelimit-headers, structured fields)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tecken.errors import RateLimited, TooLarge
from tecken.limits.port import SECONDS, Cost, Decision, Limit, LimitStatus

UNITS = {"requests": "", "frames": ';qu="frames"', "bytes": ';qu="content-bytes"'}


def policy_header(statuses: Iterable[LimitStatus]) -> str:
    """Return the value of RateLimit-Policy: `"requests-minute-address";q=600;w=60, ...`."""
    return ", ".join(map(_policy, (status.limit for status in statuses)))


def status_header(statuses: Iterable[LimitStatus]) -> str:
    """Return the value of RateLimit: `"requests-minute-address";r=599;t=1, ...`. `t` is in whole seconds."""
    return ", ".join(
        f'"{status.limit.name}";r={status.remaining};t={math.ceil(status.reset)}' for status in statuses
    )


def _policy(limit: Limit) -> str:
    # A month has no fixed number of seconds, so its policy has no window.
    seconds = SECONDS.get(limit.window)
    window = f";w={seconds:.0f}" if seconds else ""
    return f'"{limit.name}";q={limit.quantity}{window}{UNITS[limit.unit]}'


class Evaluation(NamedTuple):
    """Result of one check: whether each limit refuses the cost.

    `refusing` has one value for each status. `at` is in microseconds since the epoch.
    """

    allowed: bool
    at: int
    statuses: tuple[LimitStatus, ...]
    refusing: tuple[bool, ...]


def enforce(evaluation: Evaluation, *, local: bool = False) -> Decision:
    """Return the decision of an evaluation that allows the cost. Raise RateLimited otherwise."""
    if evaluation.allowed:
        return Decision(evaluation.statuses, local, evaluation.at)
    pairs = zip(evaluation.statuses, evaluation.refusing, strict=True)
    refused = [status for status, refuses in pairs if refuses]
    worst = max(refused, key=lambda status: status.reset)
    names = tuple(status.limit.name for status in refused)
    raise RateLimited(f"More than {worst.limit}", worst.reset, names, evaluation.statuses)


def check_size(cost: Cost, limits: Sequence[Limit]) -> None:
    """Raise TooLarge for a cost that no waiting would allow."""
    for limit in limits:
        if cost.of(limit.unit) > limit.quantity:
            raise TooLarge(f"{cost.of(limit.unit)} {limit.unit} at once are more than {limit}")

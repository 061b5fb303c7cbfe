"""The limiter of one process: as `spend.lua` decides, by this machine's clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache

from tecken.limits import keys
from tecken.limits.decision import Evaluation, check_size, enforce
from tecken.limits.port import SECONDS, Caller, Cost, Decision, Limit, LimitStatus, applicable_limits

MOST_KEYS = 100_000
SLACK = 1e-6  # what rounding may take from a level


class _Level(NamedTuple):
    """So much, at that moment; of a rate it drains."""

    amount: float
    at: int


class _Check(NamedTuple):
    limit: Limit
    key: str
    cost: int
    before: _Level

    @property
    def refuses(self) -> bool:
        return self.cost > 0 and self.before.amount + self.cost > self.limit.quantity + SLACK


class MemoryLimiter:
    """`clock` gives seconds of the epoch. Beyond MOST_KEYS whoever was not seen for longest is forgotten."""

    local = False

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: MutableMapping[str, _Level] = LRUCache(MOST_KEYS)
        self._lock = Lock()

    def spend(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        mine = applicable_limits(limits, caller)
        if not mine:
            return Decision()
        check_size(cost, mine)
        return enforce(self._decide(caller, cost, mine, int(self._clock() * 1e6)))

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], verdict: Decision) -> None:
        back = Cost(*(-amount for amount in cost))
        self._decide(caller, back, applicable_limits(limits, caller), verdict.at)

    def _decide(self, caller: Caller, cost: Cost, limits: Sequence[Limit], at: int) -> Evaluation:
        with self._lock:
            asked = [self._asked(limit, caller, cost.of(limit.unit), at) for limit in limits]
            allowed = not any(one.refuses for one in asked)
            statuses = tuple(self._standing(one, allowed, at) for one in asked)
        return Evaluation(allowed, at, statuses, tuple(one.refuses for one in asked))

    def _asked(self, limit: Limit, caller: Caller, cost: int, at: int) -> _Check:
        if limit.is_rate:
            key = keys.key(limit, caller)
            return _Check(limit, key, cost, _drain(self._counts.get(key), limit, at))
        key = f"{keys.key(limit, caller)}{quota_window(limit, at)[0]}:{keys.member(limit, caller)}"
        return _Check(limit, key, cost, self._counts.get(key, _Level(0, at)))

    def _standing(self, one: _Check, allowed: bool, at: int) -> LimitStatus:
        after = max(0.0, one.before.amount + (one.cost if allowed else 0))
        left = one.limit.quantity - after
        remaining = max(0, math.floor(left + SLACK))
        if allowed and one.cost:
            self._counts[one.key] = _Level(after, one.before.at)
        if not one.limit.is_rate:
            return LimitStatus(one.limit, remaining, quota_window(one.limit, at)[1])
        wanted = min(one.limit.quantity, one.cost if one.refuses else remaining + 1)
        wait = max(0.0, wanted - left) * SECONDS[one.limit.window] / one.limit.quantity
        return LimitStatus(one.limit, remaining, math.ceil(wait * 1000) / 1000)


def _drain(kept: _Level | None, limit: Limit, at: int) -> _Level:
    if kept is None:
        return _Level(0, at)
    drained = max(0, at - kept.at) * limit.quantity / (SECONDS[limit.window] * 1e6)
    return _Level(max(0.0, kept.amount - drained), max(at, kept.at))


def quota_window(limit: Limit, at: int) -> tuple[str, float]:
    """The name of a quota's window, as 20261121 or 202611, and the seconds until it ends."""
    now = datetime.fromtimestamp(at / 1e6, UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if limit.window == "day":
        return f"{day:%Y%m%d}", math.ceil((day + timedelta(1) - now).total_seconds() * 1000) / 1000
    ends = (day.replace(day=1) + timedelta(32)).replace(day=1)
    return f"{day:%Y%m}", math.ceil((ends - now).total_seconds() * 1000) / 1000

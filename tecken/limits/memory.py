"""Limiter of one process. It decides as `spend.lua` does, by the clock of this machine."""

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

MAX_KEYS = 100_000
# Rounding errors of a level are smaller than this.
SLACK = 1e-6


class _Level(NamedTuple):
    """Amount that was spent, at a time in microseconds. That of a rate drains."""

    amount: float
    at: int


class _Check(NamedTuple):
    """Cost to be charged to one limit, and the level before."""

    limit: Limit
    key: str
    cost: int
    before: _Level

    @property
    def refuses(self) -> bool:
        return self.cost > 0 and self.before.amount + self.cost > self.limit.quantity + SLACK


class MemoryLimiter:
    """Limiter that keeps its levels in memory. `clock` returns seconds since the epoch.

    Beyond MAX_KEYS the level that was not used for the longest time is dropped.
    """

    local = False

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._levels: MutableMapping[str, _Level] = LRUCache(MAX_KEYS)
        self._lock = Lock()

    def charge(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        """Charge a cost to all limits that apply, or to none. Raises RateLimited, TooLarge."""
        applicable = applicable_limits(limits, caller)
        if not applicable:
            return Decision()
        check_size(cost, applicable)
        return enforce(self._evaluate(caller, cost, applicable, int(self._clock() * 1e6)))

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], decision: Decision) -> None:
        """Refund a cost, in the windows of the decision."""
        refund = Cost(*(-amount for amount in cost))
        self._evaluate(caller, refund, applicable_limits(limits, caller), decision.at)

    def _evaluate(self, caller: Caller, cost: Cost, limits: Sequence[Limit], at: int) -> Evaluation:
        # One lock around reading all levels and writing them. Otherwise two threads could both find room for
        # the last request of a limit.
        with self._lock:
            checks = [self._check(limit, caller, cost.of(limit.unit), at) for limit in limits]
            allowed = not any(check.refuses for check in checks)
            statuses = tuple(self._apply(check, allowed, at) for check in checks)
        return Evaluation(allowed, at, statuses, tuple(check.refuses for check in checks))

    def _check(self, limit: Limit, caller: Caller, cost: int, at: int) -> _Check:
        if limit.is_rate:
            key = keys.key(limit, caller)
            return _Check(limit, key, cost, _drain(self._levels.get(key), limit, at))
        key = f"{keys.key(limit, caller)}{quota_window(limit, at)[0]}:{keys.member(limit, caller)}"
        return _Check(limit, key, cost, self._levels.get(key, _Level(0, at)))

    def _apply(self, check: _Check, allowed: bool, at: int) -> LimitStatus:
        """Store the new level if the cost is allowed, and return the state of the limit."""
        limit = check.limit
        after = max(0.0, check.before.amount + (check.cost if allowed else 0))
        left = limit.quantity - after
        remaining = max(0, math.floor(left + SLACK))
        if allowed and check.cost:
            self._levels[check.key] = _Level(after, check.before.at)
        if not limit.is_rate:
            return LimitStatus(limit, remaining, quota_window(limit, at)[1])
        needed = min(limit.quantity, check.cost if check.refuses else remaining + 1)
        wait = max(0.0, needed - left) * SECONDS[limit.window] / limit.quantity
        return LimitStatus(limit, remaining, math.ceil(wait * 1000) / 1000)


def _drain(level: _Level | None, limit: Limit, at: int) -> _Level:
    if level is None:
        return _Level(0, at)
    drained = max(0, at - level.at) * limit.quantity / (SECONDS[limit.window] * 1e6)
    return _Level(max(0.0, level.amount - drained), max(at, level.at))


def quota_window(limit: Limit, at: int) -> tuple[str, float]:
    """Return the name of a quota's window, such as 20261121 or 202611, and the seconds until it ends."""
    now = datetime.fromtimestamp(at / 1e6, UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if limit.window == "day":
        return f"{day:%Y%m%d}", math.ceil((day + timedelta(1) - now).total_seconds() * 1000) / 1000
    end = (day.replace(day=1) + timedelta(32)).replace(day=1)
    return f"{day:%Y%m}", math.ceil((end - now).total_seconds() * 1000) / 1000

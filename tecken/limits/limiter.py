"""Limiters of one process and of a fleet.

The limiter of a fleet decides all limits of a request in one round trip, by the server's clock. That of one
process decides as `spend.lua` does, by the clock of this machine.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import redis
from cachetools import LRUCache

from tecken.errors import Unavailable
from tecken.limits.port import (
    SECONDS,
    Caller,
    Cost,
    Decision,
    Evaluation,
    Limit,
    LimitStatus,
    applicable_limits,
    check_size,
    enforce,
    key_of,
    member_of,
)
from tecken.redisclient.guard import RedisGuard

logger = logging.getLogger(__name__)
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

    def spend(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> None:
        """Charge a cost that is spent already, also above a limit."""
        at = int(self._clock() * 1e6)
        self._evaluate(caller, cost, applicable_limits(limits, caller), at, is_spent=True)

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], decision: Decision) -> None:
        """Refund a cost, in the windows of the decision."""
        refund = Cost(*(-amount for amount in cost))
        self._evaluate(caller, refund, applicable_limits(limits, caller), decision.at)

    def inspect(self, items: Sequence[tuple[Caller, Limit]]) -> list[LimitStatus]:
        """Return the state of limits of several callers. Charges nothing."""
        at = int(self._clock() * 1e6)
        with self._lock:
            return [
                self._apply(self._check(limit, caller, 0, at), allowed=False, at=at)
                for caller, limit in items
            ]

    def _evaluate(
        self, caller: Caller, cost: Cost, limits: Sequence[Limit], at: int, *, is_spent: bool = False
    ) -> Evaluation:
        # One lock around reading all levels and writing them. Otherwise two threads could both find room for
        # the last request of a limit.
        with self._lock:
            checks = [self._check(limit, caller, cost.of(limit.unit), at) for limit in limits]
            allowed = is_spent or not any(check.refuses for check in checks)
            statuses = tuple(self._apply(check, allowed, at) for check in checks)
        return Evaluation(allowed, at, statuses, tuple(check.refuses for check in checks))

    def _check(self, limit: Limit, caller: Caller, cost: int, at: int) -> _Check:
        if limit.is_rate:
            key = key_of(limit, caller)
            return _Check(limit, key, cost, _drain(self._levels.get(key), limit, at))
        key = f"{key_of(limit, caller)}{quota_window(limit, at)[0]}:{member_of(limit, caller)}"
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


SPEND = (Path(__file__).parent / "spend.lua").read_text()
# A process counts as deciding alone for this long after a decision without Redis.
LOCAL_SECONDS = 2.0


class RedisLimiter:
    """Limiter whose levels are on redis-cache.

    Processes of a fleet decide by one script on the server. If each of them read and wrote the levels itself,
    two of them could both find room for the last request of a limit.

    While redis-cache does not answer, a limit with `local` is divided by the number of processes, which
    `processes()` returns.
    """

    def __init__(
        self,
        client: redis.Redis,
        guard: RedisGuard,
        processes: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._script = client.register_script(SPEND)
        self._guard = guard
        self._processes = processes
        self._clock = clock
        self._alone = MemoryLimiter()
        self._alone_until = 0.0

    @property
    def local(self) -> bool:
        """Return whether this process has just decided alone."""
        return self._clock() < self._alone_until

    def charge(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        """Charge a cost to all limits that apply, or to none. Raises RateLimited, TooLarge, Unavailable."""
        applicable = applicable_limits(limits, caller)
        if not applicable:
            return Decision()
        check_size(cost, applicable)
        try:
            evaluation = self._evaluate(caller, cost, applicable)
        except Unavailable as error:
            # A full server refuses every request, so only the first decision without it is logged.
            if not self.local:
                logger.warning(
                    "Cannot count requests: %s; deciding without redis-cache", error.__cause__ or error
                )
            return self._decide_alone(caller, cost, applicable)
        return enforce(evaluation)

    def spend(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> None:
        """Charge a cost that is spent already, also above a limit. Without redis-cache it is not counted."""
        if applicable := applicable_limits(limits, caller):
            with suppress(Unavailable):
                self._run([(caller, limit) for limit in applicable], cost, 0, is_spent=True)

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], decision: Decision) -> None:
        """Refund a cost where it was charged: on redis-cache or in this process."""
        applicable = applicable_limits(limits, caller)
        refund = Cost(*(-amount for amount in cost))
        if not applicable:
            return
        if decision.local:
            self._alone.refund(caller, cost, self._shares(applicable), decision)
            return
        try:
            self._evaluate(caller, refund, applicable, decision.at)
        except Unavailable:
            # The response has been sent. The caller keeps the charge until the window moves on.
            return

    def inspect(self, items: Sequence[tuple[Caller, Limit]]) -> list[LimitStatus]:
        """Return the state of limits of several callers, in one round trip. Raises Unavailable."""
        return list(self._run(items, Cost(0), 0).statuses) if items else []

    def _evaluate(self, caller: Caller, cost: Cost, limits: Sequence[Limit], at: int = 0) -> Evaluation:
        return self._run([(caller, limit) for limit in limits], cost, at)

    def _run(
        self, items: Sequence[tuple[Caller, Limit]], cost: Cost, at: int, *, is_spent: bool = False
    ) -> Evaluation:
        names = [key_of(limit, caller) for caller, limit in items]
        words: list[str | float] = [at]
        for caller, limit in items:
            seconds = SECONDS[limit.window] if limit.is_rate else 0
            member = "" if limit.is_rate else member_of(limit, caller)
            words += [limit.window, seconds, limit.quantity, cost.of(limit.unit), member]
        words.append(int(is_spent))
        limits = [limit for _caller, limit in items]
        return _parse_evaluation(self._guard.call(self._script, names, words), limits)

    def _decide_alone(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        self._alone_until = self._clock() + LOCAL_SECONDS
        if closed := [limit for limit in limits if limit.without == "closed"]:
            raise Unavailable(f"{closed[0].name} cannot be counted while redis-cache does not answer")
        return self._alone.charge(caller, cost, self._shares(limits))._replace(local=True)

    def _shares(self, limits: Sequence[Limit]) -> list[Limit]:
        processes = max(1, self._processes())
        # Limits that are open without redis-cache are not counted here.
        divided = (limit for limit in limits if limit.without == "local")
        return [limit._replace(quantity=max(1, limit.quantity // processes)) for limit in divided]


def _parse_evaluation(reply: list[Any], limits: Sequence[Limit]) -> Evaluation:
    # The script returns whether all limits allow the cost, the time, and for each limit what remains, the
    # milliseconds until more is available, and whether it refuses.
    parts = zip(limits, reply[2::3], reply[3::3], strict=False)
    statuses = tuple(LimitStatus(limit, remaining, wait / 1000) for limit, remaining, wait in parts)
    return Evaluation(reply[0] == 1, reply[1], statuses, tuple(refuses == 1 for refuses in reply[4::3]))

"""Limiter of a fleet. One round trip decides all limits of a request, by the server's clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from tecken.errors import Unavailable
from tecken.limits import keys
from tecken.limits.decision import Evaluation, check_size, enforce
from tecken.limits.memory import MemoryLimiter
from tecken.limits.port import SECONDS, Caller, Cost, Decision, Limit, LimitStatus, applicable_limits
from tecken.redisclient.guard import RedisGuard

logger = logging.getLogger(__name__)
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

    def _evaluate(self, caller: Caller, cost: Cost, limits: Sequence[Limit], at: int = 0) -> Evaluation:
        names = [keys.key(limit, caller) for limit in limits]
        words: list[str | float] = [at]
        for limit in limits:
            seconds = SECONDS[limit.window] if limit.is_rate else 0
            member = "" if limit.is_rate else keys.member(limit, caller)
            words += [limit.window, seconds, limit.quantity, cost.of(limit.unit), member]
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

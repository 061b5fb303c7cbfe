"""The limiter of a fleet: one round trip decides all limits of a request, by the server's clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from tecken.errors import CouldNotAsk
from tecken.limits import keys
from tecken.limits.decision import Evaluation, check_size, enforce
from tecken.limits.memory import MemoryLimiter
from tecken.limits.port import SECONDS, Caller, Cost, Decision, Limit, LimitStatus, applicable_limits
from tecken.redisclient.guard import RedisGuard

logger = logging.getLogger(__name__)
SPEND = (Path(__file__).parent / "spend.lua").read_text()
LOCAL_SECONDS = 2.0  # after a decision without Redis


class RedisLimiter:
    """`processes()` says among how many a limit is shared out while Redis is away."""

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
        return self._clock() < self._alone_until

    def spend(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        mine = applicable_limits(limits, caller)
        if not mine:
            return Decision()
        check_size(cost, mine)
        try:
            decision = self._ask(caller, cost, mine)
        except CouldNotAsk as error:
            # A server that is full refuses each request. Only the first decision without it is logged.
            if not self.local:
                logger.warning("cannot count requests: %s", error.__cause__ or error)
            return self._decide_alone(caller, cost, mine)
        return enforce(decision)

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], verdict: Decision) -> None:
        mine = applicable_limits(limits, caller)
        back = Cost(*(-amount for amount in cost))
        if not mine:
            return
        if verdict.local:
            self._alone.refund(caller, cost, self._shares(mine), verdict)
            return
        try:
            self._ask(caller, back, mine, verdict.at)
        except CouldNotAsk:
            return

    def _ask(self, caller: Caller, cost: Cost, limits: Sequence[Limit], at: int = 0) -> Evaluation:
        names = [keys.key(limit, caller) for limit in limits]
        words: list[str | float] = [at]
        for limit in limits:
            seconds = SECONDS[limit.window] if limit.is_rate else 0
            member = "" if limit.is_rate else keys.member(limit, caller)
            words += [limit.window, seconds, limit.quantity, cost.of(limit.unit), member]
        return _decision(self._guard.call(self._script, names, words), limits)

    def _decide_alone(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        self._alone_until = self._clock() + LOCAL_SECONDS
        if closed := [limit for limit in limits if limit.without == "closed"]:
            raise CouldNotAsk(f"{closed[0].name} cannot be counted while redis-cache does not answer")
        return self._alone.spend(caller, cost, self._shares(limits))._replace(local=True)

    def _shares(self, limits: Sequence[Limit]) -> list[Limit]:
        among = max(1, self._processes())
        mine = (limit for limit in limits if limit.without == "local")
        return [limit._replace(quantity=max(1, limit.quantity // among)) for limit in mine]


def _decision(answer: list[Any], limits: Sequence[Limit]) -> Evaluation:
    parts = zip(limits, answer[2::3], answer[3::3], strict=False)
    statuses = tuple(LimitStatus(limit, remaining, wait / 1000) for limit, remaining, wait in parts)
    return Evaluation(answer[0] == 1, answer[1], statuses, tuple(refuses == 1 for refuses in answer[4::3]))

"""The limiter and the usage counter of this process."""

from __future__ import annotations

from django.conf import settings

from tecken.limits.limiter import MemoryLimiter, RedisLimiter
from tecken.limits.port import Cost, Limiter, Scope
from tecken.limits.usage import RedisLedger, UsageCounter, start_sender
from tecken.redisclient.services import cache_guard, counters_client
from tecken.services import per_process


@per_process
def limiter() -> Limiter:
    """Return the limiter, which decides whether a caller has reached a limit."""
    if settings.DEMO_MODE:
        return MemoryLimiter()
    return RedisLimiter(counters_client(), cache_guard(), lambda: usage().processes)


def limits_are_local() -> bool:
    """Return whether this process decides limits alone. Builds no limiter, since each log line calls this."""
    return limiter.cache_info().currsize > 0 and limiter().local


def count_in_worker(scope: Scope, cost: Cost, token: int | None) -> None:
    """Count usage in a process that decides no limits, in one round trip. Raises nothing."""
    counter = UsageCounter(RedisLedger(counters_client(), cache_guard(), decides=False))
    counter.count(scope, cost, token)
    counter.flush()


@per_process
def usage() -> UsageCounter:
    """Return the counter of used requests, frames and bytes, which sends its counts every second."""
    counter = UsageCounter(RedisLedger(counters_client(), cache_guard()))
    start_sender(counter)
    return counter

"""Usage that is sent when a test says so, and not by what tests before have counted."""

from __future__ import annotations

import pytest
import redis

from tecken import services
from tecken.limits import services as limits_services
from tecken.limits import usage
from tecken.limits.usage import RedisLedger, UsageCounter
from tecken.redisclient.guard import RedisGuard


def quiet_usage(patch: pytest.MonkeyPatch, client: redis.Redis) -> UsageCounter:
    """What views count from here on; the database of counters is empty."""
    for earlier in list(usage._busy):
        earlier.flush(is_last=True)
        earlier.flush(is_last=True)
    services.discard_all()  # nor does another one say that it is there
    client.flushdb()
    made = UsageCounter(RedisLedger(client, RedisGuard("redis-cache")))
    patch.setattr(limits_services, "usage", lambda: made)
    return made

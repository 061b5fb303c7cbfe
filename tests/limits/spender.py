"""A process that spends as fast as it can, and prints how often it was allowed to.

python -m tests.limits.spender URL CALLS
"""

from __future__ import annotations

import sys

import redis

from tecken.errors import RateLimited
from tecken.limits.limiter import RedisLimiter
from tecken.limits.port import Caller, Cost, Limit
from tecken.redisclient.guard import RedisGuard

CALLER = Caller("192.0.2.1", 7, "3")
QUOTA = Limit("symbolicate", 500, "requests", "day", "user")
FRAMES = Limit("symbolicate", 3600, "frames", "hour", "token")
EACH = Cost(frames=7)


def main(url: str, calls: int) -> int:
    limiter = RedisLimiter(redis.Redis.from_url(url, socket_timeout=60), RedisGuard("redis-cache"))
    allowed = 0
    for _ in range(calls):
        try:
            limiter.charge(CALLER, EACH, [QUOTA, FRAMES])
        except RateLimited:
            continue
        allowed += 1
    return allowed


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))

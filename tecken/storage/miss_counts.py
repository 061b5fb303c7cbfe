"""Counts of requested symbol files that no source has, on redis-cache.

Requests only count, in one round trip; `tecken.download.missing` moves the counts into the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import orjson
import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard

COUNTS = "missing:counts"
# Different files that are counted between two writes. With the longest names they are some 40 MB, which Redis
# and the worker that moves them can spare; a further file is counted after the next write.
MOST = 20_000
# Characters of a name that is recorded. No file system has longer names, so no file has a longer one.
LONGEST_NAME = 255
# Modules of one request that are counted: a round trip with as many takes some milliseconds.
MOST_AT_ONCE = 1000
KEPT_SECONDS = 86_400
# One script: the size of the hash is checked together with the increment, so that requests at the same time
# do not pass the bound together.
COUNT = """
for i = 3, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('HINCRBY', KEYS[1], ARGV[i], 1)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class Miss(NamedTuple):
    """Names of a missing file: debug file and id, code file and id. Either pair may be empty."""

    debug_file: str
    debug_id: str
    code_file: str = ""
    code_id: str = ""


class MissCounts:
    """Counter of misses. It raises nothing: a miss that is not counted is no reason to fail a request."""

    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._guard = guard
        self._count = client.register_script(COUNT)

    def count(self, misses: Sequence[Miss], *, by_symbolication: bool = False) -> None:
        """Count each of `misses` once, in one round trip, but for those with a name that is too long."""
        names = [
            field(miss, by_symbolication)
            for miss in misses[:MOST_AT_ONCE]
            if max(len(miss.debug_file), len(miss.code_file)) <= LONGEST_NAME
        ]
        if not names:
            return
        with suppress(Unavailable):
            self._guard.call(self._count, [COUNTS], [MOST, KEPT_SECONDS, *names])


def field(miss: Miss, by_symbolication: bool) -> bytes:
    """Return the name under which a miss is counted."""
    return orjson.dumps([*miss, 1] if by_symbolication else [*miss])

"""Counts on redis-cache, for all processes: requests for files that no source has.

Counting costs one round trip. `tecken.download.missing` moves the counts into the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from threading import Lock
from typing import NamedTuple

import orjson
import redis

from tecken.errors import (
    Unavailable,
)
from tecken.redisclient.guard import RedisGuard

COUNTS = "missing:counts"
# Different files that are counted between two writes. With the longest names they are some 40 MB, which Redis
# and the worker that moves them can spare; a further file is counted after the next write.
MAX_COUNTED_FILES = 20_000
# Requests of debuggers are counted only up to this number of files. Debuggers request every library of a
# process, most of them of systems whose files are never uploaded, so they would leave no room for the others.
MAX_COUNTED_FOR_DEBUGGERS = 5_000
# Characters of a name that is recorded. No file system has longer names, so no file has a longer one.
LONGEST_COUNTED_NAME = 255
# Modules of one request that are counted: a round trip with as many takes some milliseconds.
MAX_COUNTED_AT_ONCE = 1000
COUNTS_KEPT_SECONDS = 86_400
# One script: the size of the hash is checked together with the increment, so that requests at the same time
# do not pass the bound together.
COUNT_SCRIPT = """
for i = 3, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
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


class Requester(IntEnum):
    """What a missing file was requested for. The numbers are in redis-cache."""

    DOWNLOAD = 0
    SYMBOLICATION = 1
    DEBUGINFOD = 2
    SYMSRV = 3

    @property
    def max_files(self) -> int:
        """Different files between two writes up to which a further one is counted."""
        is_debugger = self in (Requester.DEBUGINFOD, Requester.SYMSRV)
        return MAX_COUNTED_FOR_DEBUGGERS if is_debugger else MAX_COUNTED_FILES


class MissCounts:
    """Counter of misses. It raises nothing: a miss that is not counted is no reason to fail a request."""

    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._guard = guard
        self._count = client.register_script(COUNT_SCRIPT)

    def count(self, misses: Sequence[Miss], requester: Requester = Requester.DOWNLOAD) -> None:
        """Count each of `misses` once, in one round trip, but for those with a name that is too long."""
        self.add(
            Counter(miss_field(miss, requester) for miss in misses[:MAX_COUNTED_AT_ONCE] if is_counted(miss)),
            requester,
        )

    def add(self, counts: Mapping[bytes, int], requester: Requester) -> None:
        """Add counts by their `miss_field`, in one round trip."""
        if not counts:
            return
        words: list[bytes | int] = [requester.max_files, COUNTS_KEPT_SECONDS]
        for field, number in counts.items():
            words += [field, number]
        with suppress(Unavailable):
            self._guard.call(self._count, [COUNTS], words)


class MissBatch:
    """Misses of this process that are not sent yet. A killed process loses those of a second.

    It keeps up to MAX_COUNTED_AT_ONCE different files for each requester; a further one is not counted.
    """

    def __init__(self, counts: MissCounts) -> None:
        self._add = counts.add
        self._lock = Lock()
        self._unsent: dict[Requester, Counter[bytes]] = {}

    def count(self, field: bytes, requester: Requester) -> None:
        """Count the miss with this `miss_field` once, in memory."""
        with self._lock:
            counts = self._unsent.setdefault(requester, Counter())
            if field in counts or len(counts) < MAX_COUNTED_AT_ONCE:
                counts[field] += 1

    def flush(self, *, is_last: bool = False) -> None:  # noqa: ARG002 - as every counter with a sender
        """Send the counts, in one round trip for each requester. Raises nothing."""
        with self._lock:
            unsent, self._unsent = self._unsent, {}
        for requester, counts in unsent.items():
            self._add(counts, requester)


def is_counted(miss: Miss) -> bool:
    """Return whether a miss is counted: its names are not longer than those of files."""
    return max(len(miss.debug_file), len(miss.code_file)) <= LONGEST_COUNTED_NAME


def miss_field(miss: Miss, requester: Requester) -> bytes:
    """Return the name under which a miss is counted."""
    return orjson.dumps([*miss, requester] if requester else [*miss])

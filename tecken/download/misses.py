"""Symbol files that nobody had: counted on redis-cache, written to the database in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import redis
from django.db import connection, transaction
from redis.lock import Lock

from tecken.breaker import Breaker
from tecken.errors import CouldNotAsk

COUNTS = "missing:counts"
TAKEN = "missing:taken"
"""What was counted before a write began; it goes as it is written."""
TURN = "missing:turn"
TURN_SECONDS = 300
BATCH = 500
MOST = 50_000
"""Different files that are counted between two writes; with the longest names they are some 200 MB."""
KEPT_SECONDS = 86_400
COUNT = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) then
  if redis.call('HINCRBY', KEYS[1], ARGV[1], 1) == 1 then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
  end
end
"""
ADD = """
INSERT INTO download_missingsymbol (digest, debug_file, debug_id, code_file, code_id, count, last_seen)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE
SET count = download_missingsymbol.count + excluded.count, last_seen = excluded.last_seen
"""


class Miss(NamedTuple):
    """Either pair may be empty."""

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str


class Misses:
    def __init__(self, client: redis.Redis, breaker: Breaker) -> None:
        self._client = client
        self._breaker = breaker
        self._count = client.register_script(COUNT)

    def count(self, miss: Miss) -> None:
        """One round trip; raises nothing. Beyond MOST different ones a new one is not counted."""
        try:
            self._breaker.admit()
            self._count([COUNTS], [orjson.dumps([*miss]), MOST, KEPT_SECONDS])
        except CouldNotAsk:
            return
        except redis.RedisError:
            self._breaker.failed()
        else:
            self._breaker.answered()

    def write(self) -> int:
        """Move all counts into the database; the answer is the number of different misses.

        When it is killed between the two, at most BATCH misses are counted twice. Raises DatabaseError or
        redis.RedisError; that is a LockError while somebody else writes.
        """
        with Lock(self._client, TURN, timeout=TURN_SECONDS, blocking=False):
            written = self._drain()  # what somebody left who was killed
            if self._client.exists(COUNTS):
                self._client.rename(COUNTS, TAKEN)
                written += self._drain()
        return written

    def _drain(self) -> int:
        written = 0
        while batch := self._some():
            add(batch)
            self._client.hdel(TAKEN, *(name for name, _ in batch))
            written += len(batch)
        return written

    def _some(self) -> list[tuple[bytes, int]]:
        pairs: Any = self._client.hrandfield(TAKEN, BATCH, withvalues=True) or []
        return [(name, int(count)) for name, count in zip(pairs[::2], pairs[1::2], strict=True)]


def add(counts: Iterable[tuple[bytes, int]]) -> None:
    """One transaction; the names are those of a Miss in JSON."""
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    rows = [(_digest(name), *orjson.loads(name), count, now) for name, count in counts]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(ADD, sorted(rows))


def _digest(name: bytes) -> str:
    return hashlib.blake2b(name, digest_size=16).hexdigest()

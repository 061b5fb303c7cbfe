"""States of dumps on redis-cache, and the places that their clients have.

    waiting ── begin ──> running ── finish ──> done or failed ── expiry ──> unknown
       ^                                            │
       └──────────── claim, of a kept dump ─────────┘

A state that is lost costs its client an answer of "waiting" until the report is there: the storage has the
dump and the report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import redis

from tecken.errors import TooManyAtOnce, Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion.keys import ANSWERED

State: TypeAlias = Literal["waiting", "running", "done", "failed"]

# Seconds after which the place of a dump that was never processed is free again.
PLACE_SECONDS: Final = 900
# Dumps of all clients that wait or run. With 256 MiB each they fill 64 GiB at most.
MAX_DUMPS: Final = 256
# Seconds after which a refused client should send its dump again.
RETRY_AFTER: Final = 5.0

# Members are dumps, scores the times at which their places expire. It has to be one script: requests of one
# client at the same time would otherwise each see a free place.
CLAIM: Final = """
local state = redis.call('HGET', KEYS[3], 'state')
if state == 'waiting' or state == 'running' then
  return 3
end
local now = tonumber(redis.call('TIME')[1])
for i, most in ipairs({tonumber(ARGV[1]), tonumber(ARGV[2])}) do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if redis.call('ZCARD', KEYS[i]) >= most then
    return i
  end
end
for i = 1, 2 do
  redis.call('ZADD', KEYS[i], now + ARGV[3], KEYS[3])
  redis.call('EXPIRE', KEYS[i], ARGV[3])
end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'state', 'waiting', 'client', KEYS[1])
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 0
"""
COUNT: Final = "return redis.call('ZCOUNT', KEYS[1], redis.call('TIME')[1], '+inf')"
# The end of a dump that is unknown by now, or has ended before, changes nothing.
FINISH: Final = """
local client = redis.call('HGET', KEYS[2], 'client')
if client then
  redis.call('ZREM', client, KEYS[2])
  redis.call('HSET', KEYS[2], 'state', ARGV[1], 'kind', ARGV[2], 'error', ARGV[3])
end
redis.call('ZREM', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[4], KEYS[2])
"""
BEGIN: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'', 0}
end
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'done' or state == 'failed' then
  return {state, 0}
end
redis.call('HSET', KEYS[1], 'state', 'running')
return {state, redis.call('HINCRBY', KEYS[1], 'attempts', 1)}
"""

ALL: Final = "dump:all"


def state_key(dump_id: str) -> str:
    """Return the key of a dump's state, which is also its name in messages to waiting requests."""
    return f"dump:state:{dump_id}"


def client_key(client: str) -> str:
    """Return the key of the places that a client has."""
    return f"dump:client:{client}"


class TrackedDump(NamedTuple):
    """State of a dump. `kind` is the class of the error that has ended it, `error` its text."""

    state: State
    kind: str = ""
    error: str = ""


class DumpTracker:
    """States of dumps on redis-cache. Every method raises Unavailable if the server does not answer.

    `places` returns how many dumps of one client may wait or run, `seconds` how long a state is kept.
    """

    def __init__(
        self,
        client: redis.Redis,
        guard: RedisGuard,
        places: Callable[[], int],
        seconds: Callable[[], float],
    ) -> None:
        self._client = client
        self._guard = guard
        self._places = places
        self._seconds = seconds

    def claim(self, dump_id: str, client: str) -> bool:
        """Take a place for a dump, which waits from now on. Raises TooManyAtOnce.

        Return False for a dump that waits or runs already; it has a place and a job.
        """
        most = self._places()
        seconds = max(PLACE_SECONDS, round(self._seconds()))
        keys = client_key(client), ALL, state_key(dump_id)
        outcome = self._eval(CLAIM, keys, most, MAX_DUMPS, PLACE_SECONDS, seconds)
        if outcome == 1:
            raise _too_many(most)
        if outcome == 2:
            raise Unavailable(
                "too many minidumps are being processed; send this one again later", RETRY_AFTER
            )
        return bool(outcome == 0)

    def check_places(self, client: str) -> None:
        """Raise TooManyAtOnce, before the body of a request is read, if the client has no place."""
        taken = self._eval(COUNT, (client_key(client),))
        if taken >= self._places():
            raise _too_many(taken)

    def begin(self, dump_id: str) -> tuple[State | None, int]:
        """Return the state of a dump and the number of this attempt, from 1; it runs from now on.

        The number is 0 for a dump that has ended, and for one whose state is lost (None).
        """
        state, attempt = cast(list[Any], self._eval(BEGIN, (state_key(dump_id),)))
        return (state.decode() or None), attempt

    def postpone(self, dump_id: str) -> None:
        """Have the dump wait for another attempt; this one does not count."""
        key = state_key(dump_id)
        with self._guard.guarded(), self._client.pipeline() as pipe:
            pipe.hincrby(key, "attempts", -1)
            pipe.hset(key, "state", "waiting")
            pipe.execute()

    def finish(self, dump_id: str, outcome: TrackedDump) -> None:
        """Set the last state, free the place, and wake the requests that wait for the dump."""
        self._eval(FINISH, (ALL, state_key(dump_id)), *outcome, ANSWERED)

    def get(self, dump_id: str) -> TrackedDump | None:
        """Return the state of a dump; None if it is unknown."""
        with self._guard.guarded():
            values = cast(
                list[bytes | None], self._client.hmget(state_key(dump_id), ["state", "kind", "error"])
            )
        state, kind, error = ((value or b"").decode() for value in values)
        return TrackedDump(cast(State, state), kind, error) if state else None

    def _eval(self, script: str, keys: tuple[str, ...], *arguments: Any) -> Any:
        return self._guard.call(self._client.eval, script, len(keys), *keys, *arguments)


def _too_many(dumps: int) -> TooManyAtOnce:
    text = f"{dumps} minidumps of this client are being processed; send this one again later"
    return TooManyAtOnce(text, RETRY_AFTER)

"""State of conversions on redis-cache, shared by the requests that wait and the workers.

    idle ── claim ──> asked ── a worker has the lock ──> started ── finish ──> answered ── expiry ──> idle

A poll reads three small keys per module, whatever the size of its header. They distinguish "no worker has
started" from "a worker converts it". They also carry the result while the store is unavailable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson
import redis

from tecken.redisclient.guard import RedisGuard
from tecken.store.port import Missing
from tecken.symbolication.conversion import keys
from tecken.symbols.ids import ObjectId

# Seconds until another request may claim the module and send another job, in case the job was lost.
ASKED_SECONDS = 60

# Seconds for which a result is kept: longer than the longest pause between two polls.
ANSWER_SECONDS = 5
ATTEMPTS_SECONDS = 3600

# The modules that a client has claimed are members of a sorted set; the score is the time at which the place
# expires. A module's own key holds the name of that set, so that a worker, which does not have the client's
# name, can free the place.
#
# It has to be one script: if the count and the claims were separate commands, requests of one client at the
# same time would each see a free place and together take more places than there are.
ASK = """
local now = tonumber(redis.call('TIME')[1])
local most, first, seconds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local taken, fresh = redis.call('ZCOUNT', KEYS[1], now, '+inf'), {}
for i = 2, #KEYS do
  if taken >= (#fresh == 0 and first or most) then
    break
  end
  if redis.call('SET', KEYS[i], KEYS[1], 'NX', 'EX', seconds) then
    redis.call('ZADD', KEYS[1], now + seconds, ARGV[i + 2])
    taken = taken + 1
    fresh[#fresh + 1] = i - 2
  end
end
if #fresh > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
  redis.call('EXPIRE', KEYS[1], seconds)
end
return fresh
"""
# Removes a claim and its place together. In two commands, a process that ends between them would leave the
# client with a place less until the place expires.
FREE = """
for i, key in ipairs(KEYS) do
  local client = redis.call('GET', key)
  if client then
    redis.call('DEL', key)
    redis.call('ZREM', client, ARGV[i])
  end
end
"""


class Ready(NamedTuple):
    """Result of a conversion that succeeded: the page file is in storage."""


class ClientPlaces(NamedTuple):
    """Number of modules of one client that workers may have at a time.

    `first` applies to the first module of a call to `claim`, `most` to each further one.
    """

    most: int
    first: int


State = Literal["idle", "asked", "started"] | Ready | Missing


class ConversionTracker(Protocol):
    """State of conversions. Every method may raise Unavailable, after one short deadline."""

    def get(self, modules: Sequence[ObjectId]) -> list[State]:
        """Return the state of each module."""
        ...

    def claim(self, modules: Sequence[ObjectId], client: str, places: ClientPlaces) -> list[ObjectId]:
        """Claim idle modules in their order, as far as the client has places, and return the claimed ones.

        The caller sends their jobs. A place is free again when the module has a result or after
        ASKED_SECONDS.
        """
        ...

    def release(self, modules: Iterable[ObjectId]) -> None:
        """Release claims whose jobs could not be sent."""
        ...

    def begin(self, module: ObjectId) -> int:
        """Count an attempt and return its number, from 1. Attempts that have ended are not counted."""
        ...

    def finish(self, module: ObjectId, answer: Ready | Missing, *, ended: bool) -> None:
        """Publish the result and release the claim. With `ended`, attempts are counted from 0 again."""
        ...

    def forget(self, module: ObjectId) -> None:
        """Remove the result and the attempts of a module whose symbols have changed."""
        ...


class RedisConversionTracker:
    """State of conversions on redis-cache; see `ConversionTracker` for its methods."""

    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._client = client
        self._guard = guard

    def get(self, modules: Sequence[ObjectId]) -> list[State]:
        """Return the state of each module, in one round trip."""
        names = [key(module) for module in modules for key in (keys.answer, keys.lock, keys.claim)]
        (values,) = self._run(lambda pipe: pipe.mget(names))
        return [_state(module, *values[3 * i : 3 * i + 3]) for i, module in enumerate(modules)]

    def claim(self, modules: Sequence[ObjectId], client: str, places: ClientPlaces) -> list[ObjectId]:
        """Claim idle modules as far as the client has places, and return the claimed ones."""
        names = [keys.client(client), *map(keys.claim, modules)]
        arguments = [*places, ASKED_SECONDS, *(module.key for module in modules)]
        (claimed,) = self._run(lambda pipe: pipe.eval(ASK, len(names), *names, *arguments))
        return [modules[i] for i in claimed]

    def release(self, modules: Iterable[ObjectId]) -> None:
        """Release claims and their places."""
        names = list(modules)
        self._run(
            lambda pipe: pipe.eval(
                FREE, len(names), *map(keys.claim, names), *(module.key for module in names)
            )
        )

    def begin(self, module: ObjectId) -> int:
        """Count an attempt and return its number."""

        def commands(pipe: Any) -> None:
            pipe.incr(keys.attempts(module))
            pipe.expire(keys.attempts(module), ATTEMPTS_SECONDS)

        return int(self._run(commands)[0])

    def finish(self, module: ObjectId, answer: Ready | Missing, *, ended: bool) -> None:
        """Publish the result and release the claim, in one transaction.

        Separately, a worker that ends between the two would leave the client's place taken until it expires.
        """

        def commands(pipe: Any) -> None:
            pipe.set(keys.answer(module), _dump_answer(module, answer), ex=ANSWER_SECONDS)
            pipe.eval(FREE, 1, keys.claim(module), module.key)
            if ended:
                pipe.delete(keys.attempts(module))

        self._run(commands)

    def forget(self, module: ObjectId) -> None:
        """Remove the result and the attempts."""
        self._run(lambda pipe: pipe.delete(keys.answer(module), keys.attempts(module)))

    def _run(self, commands: Any) -> list[Any]:
        """Return the replies of one transaction, which is one round trip."""
        with self._guard.guarded(), self._client.pipeline() as pipe:
            commands(pipe)
            values: list[Any] = pipe.execute()
        return values


def _dump_answer(module: ObjectId, answer: Ready | Missing) -> bytes:
    spelling = [module.debug_file] if isinstance(answer, Missing) and answer.is_of_spelling(module) else []
    return orjson.dumps([*answer, *spelling])


def _state(module: ObjectId, answer: bytes | None, lock: bytes | None, claim: bytes | None) -> State:
    """Return the state of a module.

    The absence of another spelling does not count: upstreams compare case.
    """
    # The result comes first: another job for the same module may hold the lock already.
    if answer:
        fields = orjson.loads(answer)
        if not fields:
            return Ready()
        kind, reason, *spelling = fields
        if spelling in ([], [module.debug_file]):
            return Missing(kind, reason)
    if lock:
        return "started"
    return "asked" if claim else "idle"

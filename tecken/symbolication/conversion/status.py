"""What those who wait for a cold module and those who convert it tell each other, on redis-cache.

    idle ── ask ──> asked ── a worker takes its turn ──> started ── finish ──> answered ── expiry ──> idle

A few small keys are read per poll, whatever the size of a header, and they tell "nobody has taken it up" from
"conversion is going on". They also carry the answer when the store, which would remember it longer, is away.
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

ASKED_SECONDS = 60  # then somebody asks again, in case the message was lost
ANSWER_SECONDS = 5  # longer than the pause between two polls
ATTEMPTS_SECONDS = 3600
# The modules that a client has workers look for are a sorted set, by the moment at which each place is free
# again at the latest. A module's own key has the name of that set, so that a worker, which knows no client,
# can free the place. One script, so that requests side by side never take more places than there are.
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
    """The page file is in place."""


class Places(NamedTuple):
    """How many modules of one client workers may have to look for at a time.

    `first` bounds the first module of a call to `ask`, `most` each further one.
    """

    most: int
    first: int


State = Literal["idle", "asked", "started"] | Ready | Missing


class Board(Protocol):
    """Every method raises CouldNotAsk, after one short deadline, when redis-cache does not answer."""

    def look(self, modules: Sequence[ObjectId]) -> list[State]: ...

    def ask(self, modules: Sequence[ObjectId], client: str, places: Places) -> list[ObjectId]:
        """Take places for modules that are not asked for yet, in their order; return these modules.

        The caller sends their jobs. A place is free again when the module is answered or ASKED_SECONDS are
        over.
        """
        ...

    def withdraw(self, modules: Iterable[ObjectId]) -> None:
        """Asking came to nothing."""
        ...

    def begin(self, module: ObjectId) -> int:
        """The number of this attempt, from 1; those that ended with an answer are not counted."""
        ...

    def finish(self, module: ObjectId, answer: Ready | Missing, *, ended: bool) -> None:
        """Tell those who wait. The attempt is not counted when it `ended` on its own."""
        ...

    def forget(self, module: ObjectId) -> None:
        """What came of it is true no more, and neither do attempts count: its symbols are other ones now."""
        ...


class RedisBoard:
    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._client = client
        self._guard = guard

    def look(self, modules: Sequence[ObjectId]) -> list[State]:
        names = [key(module) for module in modules for key in (keys.answer, keys.turn, keys.asked)]
        (values,) = self._run(lambda pipe: pipe.mget(names))
        return [_state(module, *values[3 * i : 3 * i + 3]) for i, module in enumerate(modules)]

    def ask(self, modules: Sequence[ObjectId], client: str, places: Places) -> list[ObjectId]:
        names = [keys.client(client), *map(keys.asked, modules)]
        words = [*places, ASKED_SECONDS, *(module.key for module in modules)]
        (fresh,) = self._run(lambda pipe: pipe.eval(ASK, len(names), *names, *words))
        return [modules[i] for i in fresh]

    def withdraw(self, modules: Iterable[ObjectId]) -> None:
        names = list(modules)
        self._run(
            lambda pipe: pipe.eval(
                FREE, len(names), *map(keys.asked, names), *(module.key for module in names)
            )
        )

    def begin(self, module: ObjectId) -> int:
        def commands(pipe: Any) -> None:
            pipe.incr(keys.attempts(module))
            pipe.expire(keys.attempts(module), ATTEMPTS_SECONDS)

        return int(self._run(commands)[0])

    def finish(self, module: ObjectId, answer: Ready | Missing, *, ended: bool) -> None:
        def commands(pipe: Any) -> None:
            pipe.set(keys.answer(module), _written(module, answer), ex=ANSWER_SECONDS)
            pipe.eval(FREE, 1, keys.asked(module), module.key)
            if ended:
                pipe.delete(keys.attempts(module))

        self._run(commands)

    def forget(self, module: ObjectId) -> None:
        self._run(lambda pipe: pipe.delete(keys.answer(module), keys.attempts(module)))

    def _run(self, commands: Any) -> list[Any]:
        """Return the answers of one transaction, which is one round trip."""
        with self._guard.guarded(), self._client.pipeline() as pipe:
            commands(pipe)
            values: list[Any] = pipe.execute()
        return values


def _written(module: ObjectId, answer: Ready | Missing) -> bytes:
    spelling = [module.debug_file] if isinstance(answer, Missing) and answer.is_of_spelling(module) else []
    return orjson.dumps([*answer, *spelling])


def _state(module: ObjectId, answer: bytes | None, turn: bytes | None, asked: bytes | None) -> State:
    """An answer to another spelling is none: the caller asks for its own."""
    if answer:
        fields = orjson.loads(answer)
        if not fields:
            return Ready()
        kind, reason, *spelling = fields
        if spelling in ([], [module.debug_file]):
            return Missing(kind, reason)
    if turn:
        return "started"
    return "asked" if asked else "idle"

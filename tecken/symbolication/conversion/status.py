"""State of conversions on redis-cache, shared by the requests that wait and the workers.

    idle ── claim ──> asked ── a worker has the lock ──> started ── finish ──> answered ── expiry ──> idle
                                                            └── scanned ──┘

A poll reads four small keys per module, whatever the size of its header. They distinguish "no worker has
started" from "a worker converts it". They also carry the result while the store is unavailable. In the state
"scanned", early frames can be read. Each change for which requests wait is also published on a
channel, so that they need not poll often.

Early frames answer requests before the page file of their module is complete. When the text is scanned, the
worker looks up the offsets that requests wait for in its own tables and publishes the frames; then it makes
the page file. Early frames exist on redis-cache only, for some seconds, so a worker that is killed between
the two phases leaves nothing that looks like a page file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol

import orjson
import redis

from tecken.redisclient.guard import RedisGuard
from tecken.store.port import Missing
from tecken.symbolication.conversion import keys
from tecken.symbols.frame import Frame, frame_from_json, frame_to_json
from tecken.symbols.ids import ObjectId

# Seconds until another request may claim the module and send another job, in case the job was lost.
ASKED_SECONDS = 60

# Seconds for which a result is kept: longer than the longest pause between two polls.
ANSWER_SECONDS = 5
ATTEMPTS_SECONDS = 3600

# Seconds between two jobs that renew the page file of one module.
RENEWAL_SECONDS = 24 * 3600

# Bound of one module's early frames. Offsets beyond it wait for the page file.
MAX_OFFSETS: Final = 1024

# Seconds for which early frames are kept when a worker ends before the page file is complete.
FRAMES_SECONDS = 10

# Longer than a conversion, which must find out whether the symbols have changed since it began.
REVISION_SECONDS = 3600

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
# Adds the offsets that a request waits for. KEYS: claim, lock and set of each module. Only modules that have
# a claim or a lock get a set, so that their number is bounded.
WANT = """
local most, seconds = tonumber(ARGV[1]), ARGV[2]
for i = 1, #KEYS, 3 do
  local offsets = cjson.decode(ARGV[2 + (i + 2) / 3])
  local room = math.min(most - redis.call('SCARD', KEYS[i + 2]), #offsets)
  if room > 0 and redis.call('EXISTS', KEYS[i], KEYS[i + 1]) > 0 then
    redis.call('SADD', KEYS[i + 2], unpack(offsets, 1, room))
    redis.call('EXPIRE', KEYS[i + 2], seconds)
  end
end
"""
# Publishes early frames unless an upload has replaced the symbols since the conversion read the revision. In
# two commands, the frames of former symbols could be published after the upload has removed all others.
PUBLISH = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('DEL', KEYS[3])
for i = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[3], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
"""


class Ready(NamedTuple):
    """Result of a conversion that succeeded: the page file is in storage."""


class ClientPlaces(NamedTuple):
    """Number of modules of one client that workers may have at a time.

    `first` applies to the first module of a call to `claim`, `most` to each further one.
    """

    most: int
    first: int


class EarlyFrames(NamedTuple):
    """Frames by offset, None where no symbol is, and the code file of their module."""

    code_file: str
    frames: Mapping[int, Frame | None]


State = Literal["idle", "asked", "started", "scanned"] | Ready | Missing
Offsets = Mapping[ObjectId, Collection[int]]
"""Offsets, below 2**32, that a request needs of each module."""

NO_OFFSETS: Offsets = MappingProxyType({})


class ConversionTracker(Protocol):
    """State of conversions. Every method may raise Unavailable, after one short deadline."""

    def get(self, modules: Sequence[ObjectId]) -> list[State]:
        """Return the state of each module."""
        ...

    def claim(
        self,
        modules: Sequence[ObjectId],
        client: str,
        places: ClientPlaces,
        offsets: Offsets = NO_OFFSETS,
    ) -> list[ObjectId]:
        """Claim idle modules in their order, as far as the client has places, and return the claimed ones.

        The caller sends their jobs. A place is free again when the module has a result or after
        ASKED_SECONDS. The offsets of claimed modules are added to the wanted ones.
        """
        ...

    def want(self, offsets: Offsets) -> None:
        """Add offsets of claimed modules to the wanted ones, at most MAX_OFFSETS of each module."""
        ...

    def frames(self, offsets: Offsets) -> dict[ObjectId, EarlyFrames]:
        """Return the early frames of the modules all of whose offsets have one."""
        ...

    def wanted(self, module: ObjectId) -> set[int]:
        """Return the offsets that requests wait for."""
        ...

    def revision(self, module: ObjectId) -> str:
        """Return a text that differs after each change of the module's symbols."""
        ...

    def publish_frames(self, module: ObjectId, revision: str, early: EarlyFrames) -> bool:
        """Publish frames and return True, unless the symbols have changed since `revision`."""
        ...

    def withdraw_frames(self, module: ObjectId) -> None:
        """Remove the frames."""
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
        """Remove result, early frames and attempts of a module whose symbols have changed."""
        ...


class RedisConversionTracker:
    """State of conversions on redis-cache; see `ConversionTracker` for its methods."""

    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._client = client
        self._guard = guard

    def get(self, modules: Sequence[ObjectId]) -> list[State]:
        """Return the state of each module, in one round trip."""
        kinds = (keys.answer, keys.lock, keys.claim, keys.scanned)
        names = [key(module) for module in modules for key in kinds]
        (values,) = self._run(lambda pipe: pipe.mget(names))
        return [_state(module, *values[4 * i : 4 * i + 4]) for i, module in enumerate(modules)]

    def claim(
        self,
        modules: Sequence[ObjectId],
        client: str,
        places: ClientPlaces,
        offsets: Offsets = NO_OFFSETS,
    ) -> list[ObjectId]:
        """Claim idle modules as far as the client has places, and return the claimed ones."""
        names = [keys.client(client), *map(keys.claim, modules)]
        arguments = [*places, ASKED_SECONDS, *(module.key for module in modules)]

        def commands(pipe: Any) -> None:
            pipe.eval(ASK, len(names), *names, *arguments)
            if offsets:
                _want(pipe, offsets)

        return [modules[i] for i in self._run(commands)[0]]

    def want(self, offsets: Offsets) -> None:
        """Add offsets of claimed modules to the wanted ones."""
        self._run(lambda pipe: _want(pipe, offsets))

    def wanted(self, module: ObjectId) -> set[int]:
        """Return the wanted offsets."""
        (offsets,) = self._run(lambda pipe: pipe.smembers(keys.wanted(module)))
        return set(map(int, offsets))

    def revision(self, module: ObjectId) -> str:
        """Return the number of changes, "" for none."""
        (revision,) = self._run(lambda pipe: pipe.get(keys.revision(module)))
        return (revision or b"").decode()

    def publish_frames(self, module: ObjectId, revision: str, early: EarlyFrames) -> bool:
        """Publish frames, unless the symbols have changed since `revision`, and wake those who wait."""
        names = [keys.revision(module), keys.scanned(module), keys.frames(module)]
        fields = chain.from_iterable((offset, dump_frame(frame)) for offset, frame in early.frames.items())
        arguments = [revision, early.code_file, FRAMES_SECONDS, keys.ANSWERED, module.key, *fields]
        (is_published,) = self._run(lambda pipe: pipe.eval(PUBLISH, len(names), *names, *arguments))
        return bool(is_published)

    def withdraw_frames(self, module: ObjectId) -> None:
        """Remove the frames."""
        self._run(lambda pipe: pipe.delete(keys.scanned(module), keys.frames(module)))

    def frames(self, offsets: Offsets) -> dict[ObjectId, EarlyFrames]:
        """Return the early frames of the modules all of whose offsets have one."""

        def commands(pipe: Any) -> None:
            for module, wanted in offsets.items():
                pipe.get(keys.scanned(module))
                pipe.hmget(keys.frames(module), list(wanted))

        replies = iter(self._run(commands))
        return {
            module: EarlyFrames(code_file.decode(), dict(zip(wanted, map(load_frame, raw), strict=True)))
            for (module, wanted), code_file, raw in zip(offsets.items(), replies, replies, strict=True)
            if code_file is not None and None not in raw
        }

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
            pipe.delete(keys.wanted(module), keys.scanned(module), keys.frames(module))
            if ended:
                pipe.delete(keys.attempts(module))
            pipe.publish(keys.ANSWERED, module.key)

        self._run(commands)

    def forget(self, module: ObjectId) -> None:
        """Remove everything that was found in the former symbols, and count the change."""
        kinds = (keys.answer, keys.attempts, keys.scanned, keys.frames)

        def commands(pipe: Any) -> None:
            pipe.delete(*(key(module) for key in kinds))
            pipe.incr(keys.revision(module))
            pipe.expire(keys.revision(module), REVISION_SECONDS)

        self._run(commands)

    def claim_renewals(self, modules: Sequence[ObjectId]) -> list[ObjectId]:
        """Return the modules whose page files no job has renewed for RENEWAL_SECONDS, and claim them."""

        def commands(pipe: Any) -> None:
            for module in modules:
                pipe.set(keys.renewal(module), b"", nx=True, ex=RENEWAL_SECONDS)

        claimed = self._run(commands)
        return [module for module, is_new in zip(modules, claimed, strict=True) if is_new]

    def _run(self, commands: Any) -> list[Any]:
        """Return the replies of one transaction, which is one round trip."""
        with self._guard.guarded(), self._client.pipeline() as pipe:
            commands(pipe)
            values: list[Any] = pipe.execute()
        return values


def dump_frame(frame: Frame | None) -> bytes:
    """Return the JSON of a frame."""
    return orjson.dumps(frame_to_json(frame))


def load_frame(raw: bytes) -> Frame | None:
    """Return the frame in its JSON."""
    return frame_from_json(orjson.loads(raw))


def _dump_answer(module: ObjectId, answer: Ready | Missing) -> bytes:
    spelling = [module.debug_file] if isinstance(answer, Missing) and answer.is_of_spelling(module) else []
    return orjson.dumps([*answer, *spelling])


def _want(pipe: Any, offsets: Offsets) -> None:
    names = [key(module) for module in offsets for key in (keys.claim, keys.lock, keys.wanted)]
    lists = [orjson.dumps(list(wanted)) for wanted in offsets.values()]
    pipe.eval(WANT, len(names), *names, MAX_OFFSETS, ASKED_SECONDS, *lists)


def _state(
    module: ObjectId, answer: bytes | None, lock: bytes | None, claim: bytes | None, scanned: bytes | None
) -> State:
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
    if scanned is not None:
        return "scanned"
    if lock:
        return "started"
    return "asked" if claim else "idle"

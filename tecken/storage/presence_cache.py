"""Which files are there and which are not, as last asked, on redis-cache for all processes.

An answer is written only under a lease, which whoever is about to ask takes first:

    unknown ── lease ──> leased ── settle ──> known ── expiry, forget ──> unknown
                            └─── expiry, forget ──> unknown

`forget` takes the lease away with the answer. So what a process was told of a file before an upload can never
be written after it, and whoever asks after `forget` is told of the upload.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

import orjson
import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.storage import keys
from tecken.symbols.ids import is_windows_name
from tecken.symbols.layouts import FileKey

LEASE_SECONDS = 60  # longer than anybody waits for a storage
LEASE = b"?"  # begins no JSON
SETTLE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
"""

Fact = list[Any] | None
"""What is known of a file, in JSON's types; None: it is not there."""


class Unknown(NamedTuple):
    """Nobody has asked lately. What one asks with a `lease` may be settled."""

    lease: bytes = b""


class Remembered(NamedTuple):
    """`seconds` are left of it; None where nothing is known."""

    fact: Fact | Unknown
    seconds: float | None


class PresenceLifetimes(NamedTuple):
    """Seconds for which each answer is remembered; `doubtful` is an absence that not everybody confirmed."""

    there: float
    absent: float
    doubtful: float


class PresenceCache:
    """`lifetimes` is asked for each answer; names are those of `keys`.

    Reading and remembering raise nothing: without redis-cache nothing is known.
    """

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, lifetimes: Callable[[], PresenceLifetimes]
    ) -> None:
        self._client = client
        self._guard = guard
        self._lifetimes = lifetimes
        self._settle = client.register_script(SETTLE)

    def get(self, names: Sequence[str]) -> list[Fact | Unknown]:
        """In one round trip."""
        try:
            values = cast("list[bytes | None]", self._guard.call(self._client.mget, names))
        except Unavailable:
            return [Unknown() for _ in names]
        return [_fact(value) for value in values]

    def describe(self, names: Sequence[str]) -> list[Remembered]:
        """In one round trip. Raises Unavailable."""
        with self._client.pipeline() as pipeline:
            pipeline.mget(names)
            for name in names:
                pipeline.pttl(name)
            values, *left = self._guard.call(pipeline.execute)
        return [_remembered(*each) for each in zip(values, left, strict=True)]

    def lease(self, name: str) -> Unknown:
        """Without a lease when somebody else has it, or something is known meanwhile."""
        token = LEASE + secrets.token_bytes(12)
        with suppress(Unavailable):
            if self._guard.call(self._client.set, name, token, nx=True, ex=LEASE_SECONDS):
                return Unknown(token)
        return Unknown()

    def store(self, name: str, unknown: Unknown, fact: Fact, *, doubtful: bool = False) -> None:
        """Without effect when the lease was taken away."""
        if not unknown.lease:
            return
        lifetimes = self._lifetimes()
        absent = lifetimes.doubtful if doubtful else lifetimes.absent
        seconds = max(1, round(absent if fact is None else lifetimes.there))
        with suppress(Unavailable):
            self._guard.call(self._settle, [name], [unknown.lease, orjson.dumps(fact), seconds])

    def forget(self, names: Iterable[str]) -> None:
        """Raises Unavailable."""
        self._guard.call(self._client.delete, *names)

    def changed(self, key: FileKey, code_file: str = "", code_id: str = "") -> None:
        """A file was stored or deleted, regular or from try, and its rows are committed.

        Whoever asks from now on is told so. Raises Unavailable: until `absent_seconds` have passed somebody
        may be told that a new file is not there.
        """
        names = [keys.regular_file(key), keys.try_file(key), keys.upstream_file(key)]
        if code_file and code_id:
            names += [keys.code_file(code_file, code_id, with_try=each) for each in (False, True)]
        if is_windows_name(key.debug_file):
            names += [keys.other_case(keys.regular_file(key)), keys.other_case(keys.try_file(key))]
        self.forget(names)


def _remembered(value: bytes | None, left: int) -> Remembered:
    fact = _fact(value)
    return Remembered(fact, None if isinstance(fact, Unknown) else left / 1000)


def _fact(value: bytes | None) -> Fact | Unknown:
    if value is None or value.startswith(LEASE):
        return Unknown()
    fact: Fact = orjson.loads(value)
    return fact

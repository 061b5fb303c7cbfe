"""Facts about files on redis-cache, for all processes: which place has a file, and which has not.

All keys expire: losing one costs a lookup, never a wrong result.

A fact is written only under a lease, which a process takes before it consults the storage:

    unknown ── lease ──> leased ── store ──> known ── expiry, forget ──> unknown
                            └─── expiry, forget ──> unknown

An upload calls `forget`, which deletes the fact and the lease. A process that consulted the storage before
the upload can then no longer write its outdated fact, and every process that reads after the upload consults
the storage again.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, Final, NamedTuple, cast

import orjson
import redis

from tecken.errors import (
    Unavailable,
)
from tecken.redisclient.guard import RedisGuard
from tecken.storage.port import ElfPart
from tecken.symbols.ids import GUID_DIGITS, ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey, FileType

logger = logging.getLogger(__name__)
# Longer than any deadline of a storage.
LEASE_SECONDS = 60
# First byte of a lease. No JSON begins with it.
LEASE = b"?"
# One script: if the lease were compared in a command of its own, `forget` could come between the comparison
# and the write, and the outdated fact would be stored.
SETTLE_SCRIPT = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
"""

Fact = list[Any] | None
"""Known fact about a file, in JSON's types; None: the file is absent."""


class Unknown(NamedTuple):
    """Nothing is known about a file. With a `lease`, the process may store a fact."""

    lease: bytes = b""


class Remembered(NamedTuple):
    """Cached fact and the seconds until it expires; None where nothing is known."""

    fact: Fact | Unknown
    seconds: float | None


class PresenceLifetimes(NamedTuple):
    """Lifetimes of facts in seconds; `doubtful` is for an absence that not every place has confirmed."""

    there: float
    absent: float
    doubtful: float


class PresenceCache:
    """Cache of facts under the names of the `_key` functions. `lifetimes()` is called for each fact.

    Reading, leasing and storing raise nothing: without redis-cache nothing is known.
    """

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, lifetimes: Callable[[], PresenceLifetimes]
    ) -> None:
        self._client = client
        self._guard = guard
        self._lifetimes = lifetimes
        self._settle = client.register_script(SETTLE_SCRIPT)

    def get(self, names: Sequence[str]) -> list[Fact | Unknown]:
        """Return the facts under these names, in one round trip."""
        try:
            values = cast("list[bytes | None]", self._guard.call(self._client.mget, names))
        except Unavailable:
            return [Unknown() for _ in names]
        return [_fact(value) for value in values]

    def describe(self, names: Sequence[str]) -> list[Remembered]:
        """Return the facts under these names with their lifetimes, in one round trip. Raises Unavailable."""
        with self._client.pipeline() as pipeline:
            pipeline.mget(names)
            for name in names:
                pipeline.pttl(name)
            values, *left = self._guard.call(pipeline.execute)
        return [_remembered(value, milliseconds) for value, milliseconds in zip(values, left, strict=True)]

    def lease(self, name: str) -> Unknown:
        """Take the lease of a name; return none when another process has it or has stored a fact."""
        token = LEASE + secrets.token_bytes(12)
        with suppress(Unavailable):
            if self._guard.call(self._client.set, name, token, nx=True, ex=LEASE_SECONDS):
                return Unknown(token)
        return Unknown()

    def store(self, name: str, unknown: Unknown, fact: Fact, *, doubtful: bool = False) -> None:
        """Store a fact, unless its lease was removed meanwhile."""
        if not unknown.lease:
            return
        lifetimes = self._lifetimes()
        absent = lifetimes.doubtful if doubtful else lifetimes.absent
        seconds = max(1, round(absent if fact is None else lifetimes.there))
        with suppress(Unavailable):
            self._guard.call(self._settle, [name], [unknown.lease, orjson.dumps(fact), seconds])

    def forget(self, names: Iterable[str]) -> None:
        """Remove facts and leases. Raises Unavailable."""
        self._guard.call(self._client.delete, *names)

    def forget_native(self, ids: Iterable[str], code_file: str) -> None:
        """Remove everything about native files with these ids, as `forget_file` does. Raises Unavailable."""
        # A debug id with the age 0 may be requested without it.
        spellings = {spelling for some_id in ids for spelling in (some_id, some_id.removesuffix("0"))}
        modules = [
            ObjectId(code_file, some_id, is_try=is_try) for some_id in spellings for is_try in (False, True)
        ]
        if names := [native_file_key(*pair) for pair in product(modules, FileType)]:
            self.forget(names)

    def forget_build_id(self, build_id: str) -> None:
        """Remove what is known about the ELF files of a build, as `forget_file` does. Raises Unavailable."""
        self.forget(build_id_key(build_id, part, is_try=scope) for part in ElfPart for scope in (False, True))

    def forget_file(self, key: FileKey, code_file: str = "", code_id: str = "") -> None:
        """Remove everything about a file that was stored or deleted, regular or of a try build.

        Call it after the file's rows are committed. Raises Unavailable: until `absent_seconds` have passed, a
        new file may be reported as absent.
        """
        names = [regular_file_key(key), try_file_key(key), upstream_file_key(key)]
        if code_file and code_id:
            names += [code_file_key(code_file, code_id, with_try=with_try) for with_try in (False, True)]
        if is_windows_name(key.debug_file):
            names += [other_case_key(regular_file_key(key)), other_case_key(try_file_key(key))]
        self.forget(names)


def _remembered(value: bytes | None, left: int) -> Remembered:
    fact = _fact(value)
    return Remembered(fact, None if isinstance(fact, Unknown) else left / 1000)


def _fact(value: bytes | None) -> Fact | Unknown:
    if value is None or value.startswith(LEASE):
        return Unknown()
    fact: Fact = orjson.loads(value)
    return fact


# Keys

CASE: Final = "case:"
OF_TRY: Final = "known:try:"


def regular_file_key(key: FileKey) -> str:
    """Return the key for whether a file is among the regular ones; see `PresenceCache`."""
    return f"known:regular:{key}"


def try_file_key(key: FileKey) -> str:
    """Return the key for whether a file is among those of try builds."""
    return f"{OF_TRY}{key}"


def upstream_file_key(key: FileKey) -> str:
    """Return the key for which upstream has a file, if any."""
    # A former release stored the name of the upstream alone under `known:upstream:`.
    return f"known:upstreams:{key}"


def upstream_build_id_key(build_id: str, part: ElfPart) -> str:
    """Return the key for which upstream has a part of a build, if any."""
    return f"known:upstreams:build:{part.value}:{build_id}"


def code_file_key(name: str, code_id: str, *, with_try: bool) -> str:
    """Return the key for the module of a binary: its id in upper case, Windows names in lower case."""
    spelling = name.lower() if is_windows_name(name) else name
    return f"known:code:{'try' if with_try else 'regular'}:{spelling}/{code_id.upper()}"


def native_file_key(module: ObjectId, file_type: FileType) -> str:
    """Return the key for the native file of an id. Only short ids, of PE files, need the name besides."""
    some_id = module.debug_id
    place = some_id if len(some_id) >= GUID_DIGITS else f"{module.name.lower()}/{some_id}"
    return f"known:native:{'try:' if module.is_try else ''}{file_type.name}:{place}"


def build_id_key(build_id: str, part: ElfPart, *, is_try: bool) -> str:
    """Return the key for the ELF file, regular or of a try build, that has a part of a build."""
    return f"known:build:{'try:' if is_try else ''}{part.value}:{build_id}"


def section_key(etag: str, section: str) -> str:
    """Return the key for the place of a section in the ELF file with an etag, whose bytes never change."""
    return f"known:section:{etag}:{section}"


def other_case_key(name: str) -> str:
    """Return the key for the stored file that differs in case only from the one with the key `name`."""
    return f"{CASE}{name.lower()}"

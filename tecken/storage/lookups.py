"""Results of lookups on redis-cache, for all processes: presence of files, last searches, counts of misses.

All keys expire: losing one costs a lookup, never a wrong result.

A fact about a file is written only under a lease, which a process takes before it consults the storage:

    unknown ── lease ──> leased ── store ──> known ── expiry, forget ──> unknown
                            └─── expiry, forget ──> unknown

An upload calls `forget`, which deletes the fact and the lease. A process that consulted the storage before
the upload can then no longer write its outdated fact, and every process that reads after the upload consults
the storage again.

The log has the result of each source when a module was last searched for. Requests for files that no source
has only count, in one round trip; `tecken.download.missing` moves the counts into the database.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import IntEnum
from itertools import product
from threading import Lock
from typing import Any, Final, Literal, NamedTuple, cast

import orjson
import redis

from tecken.errors import (
    AccessDenied,
    NotAsked,
    NotFound,
    SourceDisabled,
    TeckenError,
    Throttled,
    TooLarge,
    Unavailable,
)
from tecken.redisclient.guard import RedisGuard
from tecken.storage.port import ElfPart
from tecken.store.port import Missing
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


def lookup_key(module: ObjectId) -> str:
    """Return the key of the results of the last search for a module; see `LookupLog`."""
    return f"cold:looked:{module.key}"


def absent_names_key(debug_id: str) -> str:
    """Return the key of the names under which modules with an id were searched and not found."""
    return f"cold:absent:{debug_id}"


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


# Log of searches

# Names of one id that an upload makes known again. Clients may request any number of names.
MAX_ABSENT_NAMES: Final = 256

Kind = Literal[
    "there", "absent", "denied", "not asked", "off", "throttled", "unreachable", "too large", "refused"
]
"""A source that "denied" a file does not give it to us. A file that we cannot use was "refused"."""

# Kinds of results that confirm that a source does not have the file for us.
NEGATIVE = ("absent", "denied", "not asked")


class SourceResult(NamedTuple):
    """The result of one source: `error` is None where it has the file."""

    source: str
    error: TeckenError | None
    seconds: float


class RecordedResult(NamedTuple):
    """Result of one source. `text` is that of the error, and empty where the source has the file."""

    source: str
    kind: Kind
    text: str
    seconds: float


class LookupRecord(NamedTuple):
    """Results of sources for one spelling of a debug file's name, up to the first that has the file."""

    at: datetime
    spelling: str
    results: tuple[RecordedResult, ...]


class LookupLog:
    """Log of the last search for each module. `seconds()` is the lifetime of a record."""

    def __init__(self, client: redis.Redis, guard: RedisGuard, seconds: Callable[[], float]) -> None:
        self._client = client
        self._guard = guard
        self._seconds = seconds

    def note(self, module: ObjectId, results: Sequence[SourceResult]) -> None:
        """Record the results of a search, in one round trip. Raises nothing."""
        recorded = [
            RecordedResult(source, _result_kind(error), str(error or ""), seconds)
            for source, error, seconds in results
        ]
        raw = orjson.dumps([datetime.now(UTC).timestamp(), module.debug_file, *map(list, recorded)])
        seconds = max(1, round(self._seconds()))
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(lookup_key(module), raw, ex=seconds)
        if all(result.error for result in results):
            pipeline.sadd(absent_names_key(module.debug_id), str(module))
            pipeline.expire(absent_names_key(module.debug_id), seconds)
        try:
            self._guard.call(pipeline.execute)
        except Unavailable as error:
            # An error without a cause comes from the circuit breaker, which has logged the failure already.
            if error.__cause__:
                cause = type(error.__cause__).__name__
                logger.warning("%s: cannot record the results of its search: %s", module, cause)

    def last(self, module: ObjectId) -> LookupRecord | None:
        """Return the record of the last search. Raises Unavailable."""
        raw = cast("bytes | None", self._guard.call(self._client.get, lookup_key(module)))
        return _parse_record(raw) if raw else None

    def last_of(self, modules: Sequence[ObjectId]) -> dict[ObjectId, LookupRecord]:
        """Return the record of the last search for each module that has one, in one round trip.

        Raises Unavailable.
        """
        if not modules:
            return {}
        names = [*map(lookup_key, modules)]
        values = cast("list[bytes | None]", self._guard.call(self._client.mget, names))
        return {module: _parse_record(raw) for module, raw in zip(modules, values, strict=True) if raw}

    def absent(self, modules: Sequence[ObjectId], sources: Sequence[str]) -> dict[ObjectId, Missing]:
        """Return the modules that each of `sources` has recently confirmed as absent, in one round trip.

        Raises nothing, since a worker can search again.
        """
        try:
            records = self.last_of(modules)
        except Unavailable:
            return {}
        # Upstreams compare case, so the absence of one spelling says nothing about another one.
        return {
            module: Missing("absent", f"{module} is not in {', '.join(sources)}")
            for module, record in records.items()
            if record.spelling == module.debug_file
            and [result.source for result in record.results if result.kind in NEGATIVE] == [*sources]
        }

    def absent_names(self, debug_ids: Collection[str]) -> set[ObjectId]:
        """Return modules with these ids that no source had lately, some of them if they are very many.

        Raises Unavailable.
        """
        with self._client.pipeline(transaction=False) as pipeline:
            for debug_id in debug_ids:
                pipeline.srandmember(absent_names_key(debug_id), MAX_ABSENT_NAMES)
            names = self._guard.call(pipeline.execute)
        return {ObjectId.from_key(name.decode()) for found in names for name in found}

    def forget(self, module: ObjectId) -> None:
        """Delete the record of a search from before the module's symbols changed. Raises Unavailable."""
        self._guard.call(self._client.delete, lookup_key(module))


def _parse_record(raw: bytes) -> LookupRecord:
    at, *fields = orjson.loads(raw)
    # Records of a former release have no spelling.
    spelling = fields.pop(0) if fields and isinstance(fields[0], str) else ""
    results = tuple(RecordedResult(*values) for values in fields)
    return LookupRecord(datetime.fromtimestamp(at, UTC), spelling, results)


# A class stands before its bases.
KINDS: Final[tuple[tuple[type[TeckenError], Kind], ...]] = (
    (SourceDisabled, "off"),
    (NotAsked, "not asked"),
    (AccessDenied, "denied"),
    (NotFound, "absent"),
    (Throttled, "throttled"),
    (Unavailable, "unreachable"),
    (TooLarge, "too large"),
    (TeckenError, "refused"),
)


def _result_kind(error: TeckenError | None) -> Kind:
    if error is None:
        return "there"
    return next(kind for error_class, kind in KINDS if isinstance(error, error_class))


# Counts of misses

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

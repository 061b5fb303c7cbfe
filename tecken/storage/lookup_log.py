"""Log of lookups, and counts of requested symbol files that no source has, on redis-cache.

The log has the result of each source when a module was last searched for. Requests only count, in one round
trip; `tecken.download.missing` moves the counts into the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

import orjson
import redis

from tecken.errors import AccessDenied, NotFound, SourceDisabled, TeckenError, Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.storage.presence_cache import lookup_key
from tecken.storage.search import SourceResult
from tecken.store.port import Missing
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)
Kind = Literal["there", "absent", "denied", "off", "unreachable", "refused"]
"""A source that "denied" a file does not give it to us; a file that is too large was "refused"."""

# Kinds of results that confirm that a source does not have the file for us.
NEGATIVE = ("absent", "denied")


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
            RecordedResult(source, _kind(error), str(error or ""), seconds)
            for source, error, seconds in results
        ]
        raw = orjson.dumps([datetime.now(UTC).timestamp(), module.debug_file, *map(list, recorded)])
        try:
            self._guard.call(self._client.set, lookup_key(module), raw, ex=max(1, round(self._seconds())))
        except Unavailable as error:
            # An error without a cause comes from the circuit breaker, which has logged the failure already.
            if error.__cause__:
                cause = type(error.__cause__).__name__
                logger.warning("%s: cannot record the results of its search: %s", module, cause)

    def last(self, module: ObjectId) -> LookupRecord | None:
        """Return the record of the last search. Raises Unavailable."""
        raw = cast("bytes | None", self._guard.call(self._client.get, lookup_key(module)))
        return _parse(raw) if raw else None

    def absent(self, modules: Sequence[ObjectId], sources: Sequence[str]) -> dict[ObjectId, Missing]:
        """Return the modules that each of `sources` has recently confirmed as absent, in one round trip.

        Raises nothing, since a worker can search again.
        """
        try:
            names = [*map(lookup_key, modules)]
            values = cast("list[bytes | None]", self._guard.call(self._client.mget, names))
        except Unavailable:
            return {}
        records = {module: _parse(raw) for module, raw in zip(modules, values, strict=True) if raw}
        # Upstreams compare case, so the absence of one spelling says nothing about another one.
        return {
            module: Missing("absent", f"{module} is not in {', '.join(sources)}")
            for module, record in records.items()
            if record.spelling == module.debug_file
            and [result.source for result in record.results if result.kind in NEGATIVE] == [*sources]
        }

    def forget(self, module: ObjectId) -> None:
        """Delete the record of a search from before the module's symbols changed. Raises Unavailable."""
        self._guard.call(self._client.delete, lookup_key(module))


def _parse(raw: bytes) -> LookupRecord:
    at, *fields = orjson.loads(raw)
    # Records of a former release have no spelling.
    spelling = fields.pop(0) if fields and isinstance(fields[0], str) else ""
    results = tuple(RecordedResult(*values) for values in fields)
    return LookupRecord(datetime.fromtimestamp(at, UTC), spelling, results)


def _kind(error: TeckenError | None) -> Kind:
    match error:
        case None:
            return "there"
        case SourceDisabled():
            return "off"
        case AccessDenied():
            return "denied"
        case NotFound():
            return "absent"
        case Unavailable():
            return "unreachable"
    return "refused"


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
            miss_field(miss, by_symbolication)
            for miss in misses[:MOST_AT_ONCE]
            if max(len(miss.debug_file), len(miss.code_file)) <= LONGEST_NAME
        ]
        if not names:
            return
        with suppress(Unavailable):
            self._guard.call(self._count, [COUNTS], [MOST, KEPT_SECONDS, *names])


def miss_field(miss: Miss, by_symbolication: bool) -> bytes:
    """Return the name under which a miss is counted."""
    return orjson.dumps([*miss, 1] if by_symbolication else [*miss])

"""Log on redis-cache, for all processes: the result of each source when a module was last searched for.

All keys expire: losing one costs a search, never a wrong result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, cast

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
from tecken.store.port import Missing
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)

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
            RecordedResult(source, result_kind(error), str(error or ""), seconds)
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


def result_kind(error: TeckenError | None) -> Kind:
    """Return the kind of a source's result, from its error or None."""
    if error is None:
        return "there"
    return next(kind for error_class, kind in KINDS if isinstance(error, error_class))


def lookup_key(module: ObjectId) -> str:
    """Return the key of the results of the last search for a module; see `LookupLog`."""
    return f"cold:looked:{module.key}"


def absent_names_key(debug_id: str) -> str:
    """Return the key of the names under which modules with an id were searched and not found."""
    return f"cold:absent:{debug_id}"

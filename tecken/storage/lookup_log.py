"""Log of lookups: the result of each source when a module was last searched for, on redis-cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

import orjson
import redis

from tecken.errors import AccessDenied, NotFound, SourceDisabled, TeckenError, Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.storage import keys
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
            self._guard.call(self._client.set, keys.lookup(module), raw, ex=max(1, round(self._seconds())))
        except Unavailable as error:
            # An error without a cause comes from the circuit breaker, which has logged the failure already.
            if error.__cause__:
                cause = type(error.__cause__).__name__
                logger.warning("%s: cannot record the results of its search: %s", module, cause)

    def last(self, module: ObjectId) -> LookupRecord | None:
        """Return the record of the last search. Raises Unavailable."""
        raw = cast("bytes | None", self._guard.call(self._client.get, keys.lookup(module)))
        return _parse(raw) if raw else None

    def absent(self, modules: Sequence[ObjectId], sources: Sequence[str]) -> dict[ObjectId, Missing]:
        """Return the modules that each of `sources` has recently confirmed as absent, in one round trip.

        Raises nothing, since a worker can search again.
        """
        try:
            names = [*map(keys.lookup, modules)]
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
        self._guard.call(self._client.delete, keys.lookup(module))


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

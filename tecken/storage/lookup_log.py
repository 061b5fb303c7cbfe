"""What each source said when a module was last looked for, on redis-cache."""

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
"""A source that "denied" a file does not give it to us; one that has a file too large is "refused"."""

NO = ("absent", "denied")


class RecordedResult(NamedTuple):
    """`text` is the error's, and empty where the source has the file."""

    source: str
    kind: Kind
    text: str
    seconds: float


class LookupRecord(NamedTuple):
    """Answers of sources to one spelling of a debug file's name, up to the first that has the file."""

    at: datetime
    spelling: str
    answers: tuple[RecordedResult, ...]


class LookupLog:
    """`seconds` says for how long a look is remembered."""

    def __init__(self, client: redis.Redis, guard: RedisGuard, seconds: Callable[[], float]) -> None:
        self._client = client
        self._guard = guard
        self._seconds = seconds

    def note(self, module: ObjectId, results: Sequence[SourceResult]) -> None:
        """One round trip; raises nothing."""
        answers = [
            RecordedResult(source, _kind(error), str(error or ""), seconds)
            for source, error, seconds in results
        ]
        raw = orjson.dumps([datetime.now(UTC).timestamp(), module.debug_file, *map(list, answers)])
        try:
            self._guard.call(self._client.set, keys.looked(module), raw, ex=max(1, round(self._seconds())))
        except Unavailable as error:
            # Without a cause the server was not asked: it has just failed, and that is logged.
            if error.__cause__:
                logger.warning(
                    "%s: what sources said is not kept: %s", module, type(error.__cause__).__name__
                )

    def last(self, module: ObjectId) -> LookupRecord | None:
        """Raises Unavailable."""
        raw = cast("bytes | None", self._guard.call(self._client.get, keys.looked(module)))
        return _look(raw) if raw else None

    def absent(self, modules: Sequence[ObjectId], sources: Sequence[str]) -> dict[ObjectId, Missing]:
        """Return those that every one of `sources` has lately answered "absent" for.

        One round trip; raises nothing, since a worker can look again.
        """
        try:
            names = [*map(keys.looked, modules)]
            found = cast("list[bytes | None]", self._guard.call(self._client.mget, names))
        except Unavailable:
            return {}
        looks = {module: _look(raw) for module, raw in zip(modules, found, strict=True) if raw}
        return {
            module: Missing("absent", f"{module} is not in {', '.join(sources)}")
            for module, look in looks.items()
            if look.spelling == module.debug_file
            and [answer.source for answer in look.answers if answer.kind in NO] == [*sources]
        }

    def forget(self, module: ObjectId) -> None:
        """Drop what sources said before the module's symbols changed. Raises Unavailable."""
        self._guard.call(self._client.delete, keys.looked(module))


def _look(raw: bytes) -> LookupRecord:
    at, *answers = orjson.loads(raw)
    # Before objects had one entry for all spellings, there was none in it.
    spelling = answers.pop(0) if answers and isinstance(answers[0], str) else ""
    return LookupRecord(
        datetime.fromtimestamp(at, UTC), spelling, tuple(RecordedResult(*each) for each in answers)
    )


def _kind(no: TeckenError | None) -> Kind:
    match no:
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

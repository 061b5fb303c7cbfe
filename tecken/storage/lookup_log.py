"""What each source said when a module was last looked for, on redis-cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson
import redis

from tecken.breaker import Breaker
from tecken.errors import Absent, CouldNotAsk, Refused, SwitchedOff, TeckenError
from tecken.storage import keys
from tecken.storage.search import SourceResult
from tecken.store.port import Missing
from tecken.symbols.ids import ModuleKey

logger = logging.getLogger(__name__)
Kind = Literal["there", "absent", "denied", "off", "unreachable", "refused"]
"""A source that "denied" a file does not give it to us; one that has a file too large is "refused"."""

NO = ("absent", "denied")


class Answer(NamedTuple):
    """`text` is the error's, and empty where the source has the file."""

    source: str
    kind: Kind
    text: str
    seconds: float


class Look(NamedTuple):
    """Sources after one that has the file were not asked."""

    at: datetime
    answers: tuple[Answer, ...]


class Journal:
    """`seconds` says for how long a look is remembered."""

    def __init__(self, client: redis.Redis, breaker: Breaker, seconds: Callable[[], float]) -> None:
        self._client = client
        self._breaker = breaker
        self._seconds = seconds

    def note(self, module: ModuleKey, results: Sequence[SourceResult]) -> None:
        """One round trip; raises nothing."""
        answers = [
            Answer(source, _kind(error), str(error or ""), seconds) for source, error, seconds in results
        ]
        raw = orjson.dumps([datetime.now(UTC).timestamp(), *map(list, answers)])
        try:
            self._breaker.admit()
            self._client.set(keys.looked(module), raw, ex=max(1, round(self._seconds())))
        except CouldNotAsk:
            return
        except redis.RedisError as error:
            self._breaker.failed()
            logger.warning("%s: what sources said is not kept: %s", module, type(error).__name__)
        else:
            self._breaker.answered()

    def last(self, module: ModuleKey) -> Look | None:
        """Raises CouldNotAsk."""
        raw = self._call(self._client.get, keys.looked(module))
        return _look(raw) if raw else None

    def absent(self, modules: Sequence[ModuleKey], sources: Sequence[str]) -> dict[ModuleKey, Missing]:
        """Return those that every one of `sources` has lately answered "absent" for.

        One round trip; raises nothing, since a worker can look again.
        """
        try:
            found = self._call(self._client.mget, [*map(keys.looked, modules)])
        except CouldNotAsk:
            return {}
        looks = {module: _look(raw) for module, raw in zip(modules, found, strict=True) if raw}
        return {
            module: Missing("absent", f"{module} is not in {', '.join(sources)}")
            for module, look in looks.items()
            if [answer.source for answer in look.answers if answer.kind in NO] == [*sources]
        }

    def forget(self, module: ModuleKey) -> None:
        """Drop what sources said before the module's symbols changed. Raises CouldNotAsk."""
        self._call(self._client.delete, keys.looked(module))

    def _call(self, command: Callable[..., Any], *arguments: Any) -> Any:
        self._breaker.admit()
        try:
            answer = command(*arguments)
        except redis.ResponseError as error:
            self._breaker.answered()
            raise CouldNotAsk(f"redis-cache answered with {type(error).__name__}") from error
        except redis.RedisError as error:
            self._breaker.failed()
            raise CouldNotAsk("redis-cache does not answer") from error
        self._breaker.answered()
        return answer


def _look(raw: bytes) -> Look:
    at, *answers = orjson.loads(raw)
    return Look(datetime.fromtimestamp(at, UTC), tuple(Answer(*each) for each in answers))


def _kind(no: TeckenError | None) -> Kind:
    match no:
        case None:
            return "there"
        case SwitchedOff():
            return "off"
        case Refused():
            return "denied"
        case Absent():
            return "absent"
        case CouldNotAsk():
            return "unreachable"
    return "refused"

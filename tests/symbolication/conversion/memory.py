"""In-memory implementations of the lock, the state of conversions and an unavailable store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock

from tecken.errors import StoreUnavailable, Unavailable
from tecken.store.port import Missing, PageKey
from tecken.symbolication.conversion.status import (
    MAX_OFFSETS,
    NO_OFFSETS,
    ClientPlaces,
    EarlyFrames,
    Offsets,
    Ready,
    State,
)
from tecken.symbols.ids import ObjectId


class MemoryConversionLock:
    def __init__(self) -> None:
        self._locks: defaultdict[ObjectId, Lock] = defaultdict(Lock)

    @contextmanager
    def hold(self, module: ObjectId) -> Iterator[None]:
        with self._locks[module]:
            yield


class MemoryConversionTracker:
    """State of conversions in memory. Every method raises the error in `away`; nothing expires."""

    def __init__(self) -> None:
        self.states: dict[ObjectId, State] = {}
        self.attempts: Counter[ObjectId] = Counter()
        self.clients: defaultdict[str, set[ObjectId]] = defaultdict(set)
        self.offsets: defaultdict[ObjectId, set[int]] = defaultdict(set)
        self.early: dict[ObjectId, EarlyFrames] = {}
        self.revisions: Counter[ObjectId] = Counter()
        self.away: Unavailable | None = None

    def get(self, modules: Sequence[ObjectId]) -> list[State]:
        self._answer()
        return [self.states.get(module, "idle") for module in modules]

    def claim(
        self,
        modules: Sequence[ObjectId],
        client: str,
        places: ClientPlaces,
        offsets: Offsets = NO_OFFSETS,
    ) -> list[ObjectId]:
        self._answer()
        fresh: list[ObjectId] = []
        for module in modules:
            if len(self.clients[client]) >= (places.most if fresh else places.first):
                break
            if module not in self.states:
                self.states[module] = "asked"
                self.clients[client].add(module)
                fresh.append(module)
        self.want(offsets)
        return fresh

    def want(self, offsets: Offsets) -> None:
        self._answer()
        for module, wanted in offsets.items():
            if self.states.get(module) in ("asked", "started", "scanned"):
                room = MAX_OFFSETS - len(self.offsets[module])
                self.offsets[module].update(list(wanted)[:room])

    def wanted(self, module: ObjectId) -> set[int]:
        self._answer()
        return set(self.offsets[module])

    def revision(self, module: ObjectId) -> str:
        self._answer()
        return str(self.revisions[module])

    def publish_frames(self, module: ObjectId, revision: str, early: EarlyFrames) -> bool:
        self._answer()
        if str(self.revisions[module]) != revision:
            return False
        self.states[module] = "scanned"
        self.early[module] = early
        return True

    def withdraw_frames(self, module: ObjectId) -> None:
        self._answer()
        if self.early.pop(module, None):
            self.states[module] = "started"

    def frames(self, offsets: Offsets) -> dict[ObjectId, EarlyFrames]:
        self._answer()
        return {
            module: EarlyFrames(early.code_file, {offset: early.frames[offset] for offset in wanted})
            for module, wanted in offsets.items()
            if (early := self.early.get(module)) and early.frames.keys() >= set(wanted)
        }

    def release(self, modules: Iterable[ObjectId]) -> None:
        self._answer()
        for module in modules:
            del self.states[module]
            self._free(module)

    def begin(self, module: ObjectId) -> int:
        self._answer()
        self.attempts[module] += 1
        return self.attempts[module]

    def finish(self, module: ObjectId, answer: Ready | Missing, *, ended: bool) -> None:
        self._answer()
        self.states[module] = answer
        self.early.pop(module, None)
        self.offsets.pop(module, None)
        self._free(module)
        if ended:
            del self.attempts[module]

    def forget(self, module: ObjectId) -> None:
        self._answer()
        self.revisions[module] += 1
        self.withdraw_frames(module)
        if isinstance(self.states.get(module), Ready | Missing):
            del self.states[module]
        self.attempts.pop(module, None)

    def _free(self, module: ObjectId) -> None:
        for taken in self.clients.values():
            taken.discard(module)

    def _answer(self) -> None:
        if self.away:
            raise self.away


class StoreIsAway:
    """Page store whose server does not respond."""

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        raise StoreUnavailable("the symbol store is away")

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        raise StoreUnavailable("the symbol store is away")

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        raise StoreUnavailable("the symbol store is away")

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        raise StoreUnavailable("the symbol store is away")

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        raise StoreUnavailable("the symbol store is away")

    def missing_seconds(self, module: ObjectId) -> float | None:
        raise StoreUnavailable("the symbol store is away")

    def forget(self, module: ObjectId) -> None:
        raise StoreUnavailable("the symbol store is away")

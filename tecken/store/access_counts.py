"""What the store was asked for lately, by all processes: a sample of bounded size, kept on redis-cache.

Not on the store, whose own contents it would push out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock

import redis

from tecken.errors import CouldNotAsk
from tecken.redisclient.guard import RedisGuard
from tecken.store import keys
from tecken.store.access_sample import PLACES, Access, Chunk, hash_name, is_sampled, unpack_all
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbols.ids import ModuleKey

KEY = "store:accesses"
CHUNK = 250  # sampled accesses, 3 KB
CHUNKS = 2000  # kept: at most 6 MB
EVERY_SECONDS = 60.0
"""A process whose chunk is full earlier looks at fewer keys, one whose chunk is not half full by then at
more: all chunks together are 2,000 minutes of one process."""
LOWEST = PLACES // 1024
FEWEST = 50
"""Keys of a full chunk; half as many would be no sample."""
PER_KEY_BYTES = 150
"""What Redis needs for a page besides its bytes: its name, entry and object (bench/missratio.py)."""


class AccessSample:
    """Of this process. Holds at most one chunk, and sends it with the request that fills it: one round trip
    a minute. What cannot be sent is forgotten. `clock` gives seconds.
    """

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._guard = guard
        self._clock = clock
        self._lock = Lock()
        self._below = PLACES
        self._begin()

    def _begin(self) -> None:
        self._since = self._clock()
        self._total = 0
        self._taken: list[Access] = []

    def note(self, asked: Iterable[tuple[str, int]]) -> None:
        """Names of keys, and the bytes that were found there. Raises nothing."""
        full = None
        with self._lock:
            for name, size in asked:
                self._total += 1
                if is_sampled(key := hash_name(name), self._below):
                    self._taken.append(Access(key, size + PER_KEY_BYTES))
            if len(self._taken) >= CHUNK or self._clock() - self._since >= EVERY_SECONDS:
                full = self._chunk()
        if full and full.total:
            self._send(full)

    def _chunk(self) -> Chunk:
        chunk = Chunk(self._below, self._total, tuple(self._taken))
        took = self._clock() - self._since
        if took < EVERY_SECONDS and len({access.key for access in self._taken}) > FEWEST:
            self._below = max(LOWEST, self._below // 2)
        elif len(self._taken) < CHUNK // 2:
            self._below = min(PLACES, self._below * 2)
        self._begin()
        return chunk

    def _send(self, chunk: Chunk) -> None:
        with (
            suppress(CouldNotAsk),
            self._guard.guarded(),
            self._client.pipeline(transaction=False) as pipeline,
        ):
            pipeline.rpush(KEY, chunk.packed())
            pipeline.ltrim(KEY, -CHUNKS, -1)
            pipeline.execute()


def read_chunks(client: redis.Redis) -> list[Chunk]:
    """Of all processes, oldest first. Raises what redis-py raises."""
    raws: list[bytes] = client.lrange(KEY, 0, -1)  # type: ignore[assignment]
    return list(unpack_all(raws))


class InstrumentedStore:
    """`store`, as a process uses it that answers: whatever it looks for in vain it puts there."""

    def __init__(self, store: PageStore, accesses: AccessSample) -> None:
        self._store = store
        self._accesses = accesses

    def headers(self, modules: Sequence[ModuleKey]) -> dict[ModuleKey, bytes | Missing]:
        found = self._store.headers(modules)
        self._accesses.note(
            (keys.header(module), len(raw)) for module, raw in found.items() if isinstance(raw, bytes)
        )
        return found

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        found = self._store.pages(wanted)
        self._accesses.note((keys.page(key), len(raw)) for key, raw in found.items())
        return found

    def put_header(self, module: ModuleKey, raw: bytes) -> None:
        self._store.put_header(module, raw)
        self._accesses.note([(keys.header(module), len(raw))])

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        self._store.put_pages(pages)
        self._accesses.note((keys.page(key), len(raw)) for key, raw in pages.items())

    def put_missing(self, module: ModuleKey, missing: Missing, seconds: int) -> None:
        self._store.put_missing(module, missing, seconds)

    def missing_seconds(self, module: ModuleKey) -> float | None:
        return self._store.missing_seconds(module)

    def forget(self, module: ModuleKey) -> None:
        self._store.forget(module)

"""Sample of the accesses of all processes to the store, of bounded size, on redis-cache.

On redis-store it would push out pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock

import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.store import keys
from tecken.store.miss_ratio import PLACES, Access, Chunk, hash_name, is_sampled, unpack_all
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbols.ids import ObjectId

KEY = "store:accesses"
# Sampled accesses of a chunk, 3 KB.
CHUNK = 250
# Chunks that are kept, at most 6 MB.
CHUNKS = 2000
EVERY_SECONDS = 60.0
"""Time for which a chunk should last. A process whose chunk is full earlier samples fewer keys, one whose
chunk is not half full by then samples more. So all chunks together are 2,000 minutes of one process."""
LOWEST = PLACES // 1024
FEWEST = 50
"""Least number of distinct keys of a chunk; with half as many the sample would mean nothing."""
PER_KEY_BYTES = 150
"""Memory that Redis needs for a page besides its bytes: name, entry and object (bench/missratio.py)."""


class AccessSample:
    """Sample of the accesses of this process.

    It holds at most one chunk, and sends it with the request that fills it: one round trip a minute. A chunk
    that cannot be sent is dropped. `clock` returns seconds.
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
        self._sampled: list[Access] = []

    def note(self, accesses: Iterable[tuple[str, int]]) -> None:
        """Record accesses: names of keys, and the sizes of their values. Raises nothing."""
        full = None
        # The chunk is sent outside the lock, so that other threads do not wait for the network.
        with self._lock:
            for name, size in accesses:
                self._total += 1
                if is_sampled(key := hash_name(name), self._below):
                    self._sampled.append(Access(key, size + PER_KEY_BYTES))
            if len(self._sampled) >= CHUNK or self._clock() - self._since >= EVERY_SECONDS:
                full = self._close_chunk()
        if full and full.total:
            self._send(full)

    def _close_chunk(self) -> Chunk:
        chunk = Chunk(self._below, self._total, tuple(self._sampled))
        seconds = self._clock() - self._since
        if seconds < EVERY_SECONDS and len({access.key for access in self._sampled}) > FEWEST:
            self._below = max(LOWEST, self._below // 2)
        elif len(self._sampled) < CHUNK // 2:
            self._below = min(PLACES, self._below * 2)
        self._begin()
        return chunk

    def _send(self, chunk: Chunk) -> None:
        with (
            suppress(Unavailable),
            self._guard.guarded(),
            self._client.pipeline(transaction=False) as pipeline,
        ):
            pipeline.rpush(KEY, chunk.packed())
            pipeline.ltrim(KEY, -CHUNKS, -1)
            pipeline.execute()


def read_chunks(client: redis.Redis) -> list[Chunk]:
    """Return the chunks of all processes, oldest first. Raises what redis-py raises."""
    raws: list[bytes] = client.lrange(KEY, 0, -1)  # type: ignore[assignment]
    return list(unpack_all(raws))


class InstrumentedStore:
    """Page store that records its accesses.

    A miss is recorded when its value is put into the store, with the size of the value. So it is for
    processes that store every value that they did not find.
    """

    def __init__(self, store: PageStore, accesses: AccessSample) -> None:
        self._store = store
        self._accesses = accesses

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """Return headers or missing markers. Unknown modules are left out."""
        found = self._store.headers(modules)
        self._accesses.note(
            (keys.header(module), len(raw)) for module, raw in found.items() if isinstance(raw, bytes)
        )
        return found

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages. Evicted pages are left out."""
        found = self._store.pages(wanted)
        self._accesses.note((keys.page(key), len(raw)) for key, raw in found.items())
        return found

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Store a header, and delete the missing marker."""
        self._store.put_header(module, raw)
        self._accesses.note([(keys.header(module), len(raw))])

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        """Store pages."""
        self._store.put_pages(pages)
        self._accesses.note((keys.page(key), len(raw)) for key, raw in pages.items())

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Store a missing marker for `seconds`."""
        self._store.put_missing(module, missing, seconds)

    def missing_seconds(self, module: ObjectId) -> float | None:
        """Return the seconds until a missing marker expires; None without one."""
        return self._store.missing_seconds(module)

    def forget(self, module: ObjectId) -> None:
        """Delete header and missing marker."""
        self._store.forget(module)

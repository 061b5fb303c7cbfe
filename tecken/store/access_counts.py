"""Hits and misses of the store by module, and a sample of the accesses, of all processes.

Both are on redis-cache: on redis-store they would push out pages. Hits, misses and the most requested pages
are added up for this hour and the one before. Counts that cannot be sent are dropped. The sample has a
bounded size.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.store.miss_ratio import PLACES, Access, Chunk, hash_name, is_sampled, unpack_all
from tecken.store.port import Missing, PageKey, PageStore, header_key, page_key
from tecken.symbols.ids import ObjectId

HITS, MISSES, PAGES = "store:hits:", "store:misses:", "store:pages:"
HOUR_SECONDS = 3600
SEND_SECONDS = 10.0
MOST = 1000
"""Modules and pages that a process counts between two sends, and busiest ones that are kept of an hour."""
SENT = 100
"""Busiest pages of SEND_SECONDS, which are sent."""


class ModuleHits(NamedTuple):
    """Numbers of requested pages of a module that the store had, and had not."""

    module: ObjectId
    hits: int
    misses: int


class PageRequests(NamedTuple):
    """Least number of requests for a page."""

    module: ObjectId
    page: int
    asked: int


class HitCounts:
    """Counts of this process.

    They are sent with the first request after SEND_SECONDS, in one round trip. `clock` returns seconds since
    1970.
    """

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._guard = guard
        self._clock = clock
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._since = self._clock()
        self._counts: dict[str, Counter[ObjectId]] = {HITS: Counter(), MISSES: Counter()}
        self._pages: Counter[tuple[ObjectId, int]] = Counter()

    def note(self, requested: Iterable[PageKey], found: Container[PageKey]) -> None:
        """Count requested pages, and which of them were found. Raises nothing."""
        full = None
        # The counts are sent outside the lock, so that other threads do not wait for the network.
        with self._lock:
            for key in requested:
                counts = self._counts[HITS if key in found else MISSES]
                # Bounded: a client that requests many unknown modules must not fill this process's memory.
                if key.module in counts or len(counts) < MOST:
                    counts[key.module] += 1
                page = (key.module, key.page)
                if page in self._pages or len(self._pages) < MOST:
                    self._pages[page] += 1
            if self._clock() - self._since >= SEND_SECONDS:
                full = self._by_name()
                self._begin()
        if full:
            self._send(full)

    def _by_name(self) -> dict[str, dict[str, int]]:
        """Return the counts by their names on redis-cache."""
        modules = {
            kind: {module.key: number for module, number in counts.items()}
            for kind, counts in self._counts.items()
        }
        pages = self._pages.most_common(SENT)
        return modules | {PAGES: {f"{module.key}/{page}": number for (module, page), number in pages}}

    def _send(self, counts: dict[str, dict[str, int]]) -> None:
        hour = int(self._clock() // HOUR_SECONDS)
        with (
            suppress(Unavailable),
            self._guard.guarded(),
            self._client.pipeline(transaction=False) as pipeline,
        ):
            for kind, numbers in counts.items():
                name = f"{kind}{hour}"
                for what, number in numbers.items():
                    pipeline.zincrby(name, number, what)
                # Only the busiest ones are kept, so that the set does not grow with the number of modules.
                pipeline.zremrangebyrank(name, 0, -MOST - 1)
                pipeline.expire(name, 2 * HOUR_SECONDS)
            pipeline.execute()


def busiest(client: redis.Redis, number: int, now: float) -> list[ModuleHits]:
    """Return the modules with the most hits. `now` is in seconds since 1970. Raises what redis-py raises."""
    with client.pipeline(transaction=False) as pipeline:
        for kind in (HITS, MISSES):
            pipeline.zunion(_keys(kind, now), withscores=True)
        hits, misses = map(dict, pipeline.execute())
    rows = [
        ModuleHits(ObjectId.from_key(name.decode()), int(hits.get(name, 0)), int(misses.get(name, 0)))
        for name in hits | misses
    ]
    return sorted(rows, key=lambda row: (-row.hits, -row.misses, row.module))[:number]


def busiest_pages(client: redis.Redis, number: int, now: float) -> list[PageRequests]:
    """Return the most requested pages. Generations of a page are added up. Raises what redis-py raises."""
    counts: Sequence[tuple[bytes, float]] = client.zunion(_keys(PAGES, now), withscores=True)  # type: ignore[assignment]
    rows = [_page(name, int(asked)) for name, asked in counts]
    return sorted(rows, key=lambda row: (-row.asked, row.module, row.page))[:number]


def _keys(kind: str, now: float) -> list[str]:
    return [f"{kind}{int(now // HOUR_SECONDS) - ago}" for ago in (0, 1)]


def _page(name: bytes, asked: int) -> PageRequests:
    module, _, page = name.rpartition(b"/")
    return PageRequests(ObjectId.from_key(module.decode()), int(page), asked)


# Sample of accesses

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
            (header_key(module), len(raw)) for module, raw in found.items() if isinstance(raw, bytes)
        )
        return found

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages. Evicted pages are left out."""
        found = self._store.pages(wanted)
        self._accesses.note((page_key(key), len(raw)) for key, raw in found.items())
        return found

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Store a header, and delete the missing marker."""
        self._store.put_header(module, raw)
        self._accesses.note([(header_key(module), len(raw))])

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        """Store pages."""
        self._store.put_pages(pages)
        self._accesses.note((page_key(key), len(raw)) for key, raw in pages.items())

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Store a missing marker for `seconds`."""
        self._store.put_missing(module, missing, seconds)

    def missing_seconds(self, module: ObjectId) -> float | None:
        """Return the seconds until a missing marker expires; None without one."""
        return self._store.missing_seconds(module)

    def forget(self, module: ObjectId) -> None:
        """Delete header and missing marker."""
        self._store.forget(module)

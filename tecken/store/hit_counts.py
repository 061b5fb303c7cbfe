"""Hits and misses of the store by module, and the most requested pages, in this hour and the one before.

The counts of all processes are added up on redis-cache. Counts that cannot be sent are dropped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.store.port import PageKey
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

"""Figures about the store, for operators."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

from redis import Redis

from tecken.redisclient import nodes
from tecken.store.port import is_header_key, is_symbol_key

KEYS_PER_SCAN = 1000
PAGES_SAMPLED = 200


class StoreStats(NamedTuple):
    """Figures about the store: sizes in bytes; hits, misses and evictions since the start of the server.

    Those of a cluster are the sums over its nodes. The server counts keys, so a request for a module in the
    store is one hit, for its header, and one miss, for its missing marker.
    """

    keys: int
    used: int
    maxmemory: int
    """0: no limit."""
    policy: str
    evicted: int
    hits: int
    misses: int
    modules: int
    modules_exact: bool
    """False: the scan ran out of time, and `modules` is an estimate."""
    page_size: int
    """Average of a sample; 0 without pages."""

    @property
    def hit_ratio(self) -> float:
        """Return the share of lookups that found a key."""
        return self.hits / max(1, self.hits + self.misses)


class _Census(NamedTuple):
    """Result of a scan; `pages` has keys of a sample."""

    seen: int
    modules: int
    pages: list[bytes]
    complete: bool


def read_stats(client: Redis, scan_seconds: float) -> StoreStats:
    """Return the figures of a server or cluster. Raises what redis-py raises."""
    servers = nodes(client)
    return _merge([_read_server(server, scan_seconds / len(servers)) for server in servers])


def _merge(stats: Sequence[StoreStats]) -> StoreStats:
    sizes = [item.page_size for item in stats if item.page_size]
    return StoreStats(
        keys=sum(item.keys for item in stats),
        used=sum(item.used for item in stats),
        maxmemory=sum(item.maxmemory for item in stats),
        policy=", ".join(dict.fromkeys(item.policy for item in stats)),
        evicted=sum(item.evicted for item in stats),
        hits=sum(item.hits for item in stats),
        misses=sum(item.misses for item in stats),
        modules=sum(item.modules for item in stats),
        modules_exact=all(item.modules_exact for item in stats),
        page_size=round(statistics.fmean(sizes)) if sizes else 0,
    )


def _read_server(client: Redis, scan_seconds: float) -> StoreStats:
    with client.pipeline(transaction=False) as pipeline:
        pipeline.info()
        pipeline.dbsize()
        info, count = pipeline.execute()
    census = _census(client, time.monotonic() + scan_seconds)
    seen_share = 1.0 if census.complete else census.seen / max(count, census.seen)
    return StoreStats(
        keys=count,
        used=info["used_memory"],
        maxmemory=info["maxmemory"],
        policy=info["maxmemory_policy"],
        evicted=info["evicted_keys"],
        hits=info["keyspace_hits"],
        misses=info["keyspace_misses"],
        modules=round(census.modules / seen_share),
        modules_exact=census.complete,
        page_size=_average_size(client, census.pages),
    )


def _census(client: Redis, deadline: float) -> _Census:
    """Scan keys until the deadline. SCAN visits them in the order of hashes, so they are a fair sample."""
    # SCAN and not KEYS, which would stop the server for seconds on a large store.
    seen = modules = cursor = 0
    pages: list[bytes] = []
    while True:
        cursor, names = client.scan(cursor, count=KEYS_PER_SCAN)
        seen += len(names)
        symbols = [name for name in cast(list[bytes], names) if is_symbol_key(name)]
        modules += sum(map(is_header_key, symbols))
        pages += itertools.filterfalse(is_header_key, symbols[: PAGES_SAMPLED - len(pages)])
        if cursor == 0 or time.monotonic() >= deadline:
            return _Census(seen, modules, pages, cursor == 0)


def _average_size(client: Redis, pages: list[bytes]) -> int:
    with client.pipeline(transaction=False) as pipeline:
        for page in pages:
            pipeline.strlen(page)
        sizes = [size for size in pipeline.execute(raise_on_error=False) if isinstance(size, int)]
    return round(statistics.fmean(sizes)) if sizes else 0

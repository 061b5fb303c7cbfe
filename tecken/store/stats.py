"""What an operator wants to know of the store."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

from redis import Redis

from tecken.redisclient import nodes
from tecken.store import keys

KEYS_PER_SCAN = 1000
PAGES_SAMPLED = 200


class StoreStats(NamedTuple):
    """Sizes in bytes. Hits, misses and evictions count since the server's start. A cluster's nodes are
    added up.

    The server counts keys: asking for a module that is there is one hit, for its header, and one miss,
    for its missing marker.
    """

    keys: int
    used: int
    maxmemory: int  # 0: no limit
    policy: str
    evicted: int
    hits: int
    misses: int
    modules: int
    modules_exact: bool  # False: the scan ran out of time, and `modules` is an estimate from what it saw
    page_size: int  # average of a sample; 0 without pages

    @property
    def hit_ratio(self) -> float:
        return self.hits / max(1, self.hits + self.misses)


class _Census(NamedTuple):
    seen: int
    modules: int
    pages: list[bytes]  # keys, a sample
    complete: bool


def read_stats(client: Redis, scan_seconds: float) -> StoreStats:
    """Raises what redis-py raises."""
    servers = nodes(client)
    return _together([_of_server(server, scan_seconds / len(servers)) for server in servers])


def _together(stats: Sequence[StoreStats]) -> StoreStats:
    sizes = [each.page_size for each in stats if each.page_size]
    return StoreStats(
        keys=sum(each.keys for each in stats),
        used=sum(each.used for each in stats),
        maxmemory=sum(each.maxmemory for each in stats),
        policy=", ".join(dict.fromkeys(each.policy for each in stats)),
        evicted=sum(each.evicted for each in stats),
        hits=sum(each.hits for each in stats),
        misses=sum(each.misses for each in stats),
        modules=sum(each.modules for each in stats),
        modules_exact=all(each.modules_exact for each in stats),
        page_size=round(statistics.fmean(sizes)) if sizes else 0,
    )


def _of_server(client: Redis, scan_seconds: float) -> StoreStats:
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
    """SCAN walks the keys in the order of their hashes, so what it saw by the deadline is a fair sample."""
    seen = modules = cursor = 0
    pages: list[bytes] = []
    while True:
        cursor, names = client.scan(cursor, count=KEYS_PER_SCAN)
        seen += len(names)
        symbols = [name for name in cast(list[bytes], names) if keys.is_symbol(name)]
        modules += sum(map(keys.is_header, symbols))
        pages += itertools.filterfalse(keys.is_header, symbols[: PAGES_SAMPLED - len(pages)])
        if cursor == 0 or time.monotonic() >= deadline:
            return _Census(seen, modules, pages, cursor == 0)


def _average_size(client: Redis, pages: list[bytes]) -> int:
    with client.pipeline(transaction=False) as pipeline:
        for page in pages:
            pipeline.strlen(page)
        sizes = [size for size in pipeline.execute(raise_on_error=False) if isinstance(size, int)]
    return round(statistics.fmean(sizes)) if sizes else 0

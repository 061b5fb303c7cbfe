"""The page store of this process, and the counters of its use."""

from __future__ import annotations

import redis
from django.conf import settings
from django.core.cache import caches

from tecken.redisclient.guard import RedisGuard
from tecken.redisclient.services import cache_client, cache_guard, counters_client
from tecken.services import per_process
from tecken.store.access_counts import AccessSample, HitCounts, InstrumentedStore
from tecken.store.page_store import MemoryPageStore, RedisPageStore
from tecken.store.page_store import store_guard as build_store_guard
from tecken.store.port import PageStore

DEMO_STORE_BYTES = 128 * 1024 * 1024


@per_process
def store_client() -> redis.Redis:
    """Return the client of `caches["store"]`, which has the pages."""
    client: redis.Redis = caches["store"].client.get_client(write=True)  # type: ignore[attr-defined]
    return client


@per_process
def store_guard() -> RedisGuard:
    """Return the guard of redis-store. It makes no connection, so that log lines may read it."""
    return build_store_guard()


@per_process
def page_store() -> PageStore:
    """Return the store of headers and pages; in demo mode it is in this process's memory."""
    if settings.DEMO_MODE:
        return MemoryPageStore(DEMO_STORE_BYTES)
    return RedisPageStore(store_client(), store_guard())


@per_process
def access_counts() -> AccessSample:
    """Return the sample of the pages that this process requests from the store."""
    return AccessSample(counters_client(), cache_guard())


@per_process
def hit_counts() -> HitCounts:
    """Return the counter of hits and misses by module and page."""
    return HitCounts(cache_client(), cache_guard())


def counted_page_store() -> PageStore:
    """Return the page store with every request of a page counted."""
    return InstrumentedStore(page_store(), access_counts())

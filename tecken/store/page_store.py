"""Page stores: on a Redis server or cluster that evicts keys (`maxmemory-policy allkeys-lru`), and in memory.

The store in memory is for the demo mode and for tests. Figures about the store are for operators.
"""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, cast, get_args

from cachetools import LRUCache, TLRUCache
from redis import Redis, exceptions

from tecken.errors import StoreUnavailable
from tecken.redisclient import Cluster, nodes
from tecken.redisclient.guard import RedisGuard
from tecken.store.port import (
    Missing,
    MissingKind,
    PageKey,
    header_key,
    is_header_key,
    is_symbol_key,
    missing_key,
    page_key,
)
from tecken.symbols.ids import ObjectId

# With pages of 5 KB this is a reply of 5 MB. Longer ones would make other clients wait.
KEYS_PER_MGET = 1024
BYTES_PER_MSET = 1 << 20

# Our own words: an error text of Redis may quote the command, and with it the password.
_TEXTS = (
    (exceptions.AuthenticationError, "refuses our password"),
    (exceptions.BusyLoadingError, "is still loading"),
    (exceptions.MaxConnectionsError, "has no connection left for us"),
    (exceptions.ConnectionError, "cannot be reached"),
    (exceptions.TimeoutError, "did not answer in time"),
    (exceptions.OutOfMemoryError, "is out of memory"),
    (exceptions.ReadOnlyError, "is read-only"),
)


def _describe(error: Exception) -> str:
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return f"the symbol store {text}"
    return f"the symbol store answered with {type(error).__name__}"


def store_guard(clock: Callable[[], float] = time.monotonic) -> RedisGuard:
    """Return a guard of redis-store, which raises StoreUnavailable."""
    return RedisGuard("the symbol store", error=StoreUnavailable, describe=_describe, clock=clock)


class RedisPageStore:
    """Headers, pages and missing markers on redis-store.

    `client` is that of `caches["store"]`. Its timeouts are the deadline of every method.

    A cluster skips its nodes that do not answer, and their keys are left out. It is always tried: the guard
    would refuse the working nodes as well.
    """

    def __init__(self, client: Redis, guard: RedisGuard | None = None) -> None:
        self._client = client
        self._guard = guard or store_guard()
        self._cluster = client if isinstance(client, Cluster) else None

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """Return headers or missing markers. Unknown modules are left out."""
        values = self._mget([*map(header_key, modules), *map(missing_key, modules)])
        found: dict[ObjectId, bytes | Missing] = {}
        n = len(modules)
        for module, header, marker in zip(modules, values[:n], values[n:], strict=True):
            value = _parse_marker(module, marker) if header is None else header
            if value is not None:
                found[module] = value
        return found

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages. Evicted pages are left out."""
        values = self._mget([page_key(key) for key in wanted])
        return {key: value for key, value in zip(wanted, values, strict=True) if value is not None}

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Store a header, and delete the missing marker."""
        # Without a transaction: the two keys may lie on different nodes of a cluster. The header is written
        # first, because a reader prefers it to a marker.
        with self._guarded(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(header_key(module), raw)
            pipeline.unlink(missing_key(module))
            pipeline.execute()

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        """Store pages."""
        with self._guarded():
            for part in _portions(pages):
                self._client.mset(part)

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Store a missing marker for `seconds`."""
        with self._guarded():
            self._client.set(missing_key(module), _marker_text(module, missing), ex=seconds)

    def missing_seconds(self, module: ObjectId) -> float | None:
        """Return the seconds until a missing marker expires; None without one."""
        with self._guarded():
            left = self._client.pttl(missing_key(module))
        return left / 1000 if left >= 0 else None

    def forget(self, module: ObjectId) -> None:
        """Delete header and missing marker."""
        with self._guarded():
            self._client.unlink(header_key(module), missing_key(module))

    def stats(self, scan_seconds: float = 1.0) -> StoreStats:
        """Return figures about the server, from a scan of its keys for at most `scan_seconds`.

        If the time is too short for all keys, the number of modules is an estimate.
        """
        with self._guarded():
            return read_stats(self._client, scan_seconds)

    def _mget(self, names: Sequence[str]) -> list[bytes | None]:
        """Return values, and None for missing keys. MGET returns nil for a key of another type as well."""
        values: list[bytes | None] = []
        if names:
            with self._guarded():
                read = self._cluster.mget_reachable if self._cluster else self._client.mget
                for start in range(0, len(names), KEYS_PER_MGET):
                    values += cast(list[bytes | None], read(names[start : start + KEYS_PER_MGET]))
        return values

    def _guarded(self) -> AbstractContextManager[None]:
        return self._guard.guarded(admit=self._cluster is None)


def _marker_text(module: ObjectId, missing: Missing) -> str:
    spelling = {"spelling": module.debug_file} if missing.is_of_spelling(module) else {}
    return json.dumps(missing._asdict() | spelling)


def _parse_marker(module: ObjectId, marker: bytes | None) -> Missing | None:
    """Return the missing marker in a value; None for any other value, and for that of another spelling."""
    if marker is None:
        return None
    try:
        fields = json.loads(marker)
        missing = Missing(fields["kind"], fields["reason"])
        spelling = fields.get("spelling")
    except (ValueError, TypeError, KeyError):
        return None
    is_valid = missing.kind in get_args(MissingKind) and isinstance(missing.reason, str)
    # A marker without a spelling may be of a former version, in which it held for one spelling as well.
    is_of_this = not missing.is_of_spelling(module) or spelling == module.debug_file
    return missing if is_valid and is_of_this else None


def _portions(pages: Mapping[PageKey, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield parts of `pages`, so that no command is much longer than BYTES_PER_MSET."""
    part: dict[str, bytes] = {}
    size = 0
    for key, raw in pages.items():
        part[page_key(key)] = raw
        size += len(raw)
        if size >= BYTES_PER_MSET:
            yield part
            part, size = {}, 0
    if part:
        yield part


# Store in memory

MARKERS = 10_000


class _Marker(NamedTuple):
    missing: Missing
    expires: float
    spelling: str


def _expires(_module: ObjectId, marker: _Marker, _now: float) -> float:
    return marker.expires


class MemoryPageStore:
    """Store of at most `max_bytes` of headers and pages, and of MARKERS missing markers.

    The least recently used ones are evicted. `clock` returns seconds. No method raises StoreUnavailable.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._values: LRUCache[ObjectId | PageKey, bytes] = LRUCache(max_bytes, getsizeof=len)
        self._missing: TLRUCache[ObjectId, _Marker] = TLRUCache(MARKERS, ttu=_expires, timer=clock)

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """Return headers or missing markers. Unknown modules are left out."""
        with self._lock:
            found = {module: self._find(module) for module in modules}
        return {module: value for module, value in found.items() if value is not None}

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages. Evicted pages are left out."""
        with self._lock:
            return {key: self._values[key] for key in wanted if key in self._values}

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Store a header, and delete the missing marker."""
        with self._lock:
            self._missing.pop(module, None)
            self._keep(module, raw)

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        """Store pages."""
        with self._lock:
            for key, raw in pages.items():
                self._keep(key, raw)

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Store a missing marker for `seconds`."""
        with self._lock:
            self._missing[module] = _Marker(missing, self._clock() + seconds, module.debug_file)

    def missing_seconds(self, module: ObjectId) -> float | None:
        """Return the seconds until a missing marker expires; None without one."""
        with self._lock:
            marker = self._missing.get(module)
            return marker.expires - self._clock() if marker else None

    def forget(self, module: ObjectId) -> None:
        """Delete header and missing marker."""
        with self._lock:
            self._values.pop(module, None)
            self._missing.pop(module, None)

    def _find(self, module: ObjectId) -> bytes | Missing | None:
        raw = self._values.get(module)
        if raw is not None:
            return raw
        marker = self._missing.get(module)
        if marker is None:
            return None
        is_other = marker.missing.is_of_spelling(module) and marker.spelling != module.debug_file
        return None if is_other else marker.missing

    def _keep(self, key: ObjectId | PageKey, raw: bytes) -> None:
        # The old value is removed first, also when the new one is too large: it must not stay in its place.
        self._values.pop(key, None)
        if len(raw) <= self._values.maxsize:
            self._values[key] = raw


# Figures

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

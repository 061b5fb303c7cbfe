"""The page store on a Redis (or a cluster) that evicts as it likes (`maxmemory-policy allkeys-lru`)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import cast, get_args

from redis import Redis, exceptions

from tecken.errors import StoreAway
from tecken.redisclient import Cluster
from tecken.redisclient.guard import RedisGuard
from tecken.store import keys
from tecken.store.port import Missing, MissingKind, PageKey
from tecken.store.stats import StoreStats, read_stats
from tecken.symbols.ids import ObjectId

KEYS_PER_MGET = 1024  # with pages of 5 KB an answer of 5 MB; longer ones would make other clients wait
BYTES_PER_MSET = 1 << 20

# Ours, not the server's: an error text of Redis may quote the command, and with it the password.
_TEXTS = (
    (exceptions.AuthenticationError, "refuses our password"),
    (exceptions.BusyLoadingError, "is still loading"),
    (exceptions.MaxConnectionsError, "has no connection left for us"),
    (exceptions.ConnectionError, "cannot be reached"),
    (exceptions.TimeoutError, "did not answer in time"),
    (exceptions.OutOfMemoryError, "is out of memory"),
    (exceptions.ReadOnlyError, "is read-only"),
)


def _sentence(error: Exception) -> str:
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return f"the symbol store {text}"
    return f"the symbol store answered with {type(error).__name__}"


def store_guard(clock: Callable[[], float] = time.monotonic) -> RedisGuard:
    """Return the guard of the server that has the pages. Its errors are StoreAway."""
    return RedisGuard("the symbol store", error=StoreAway, describe=_sentence, clock=clock)


class RedisPageStore:
    """Pages, headers and notes of missing modules on redis-store.

    `client` is that of `caches["store"]`, whose timeouts are the deadline of every method.

    A cluster passes over its own nodes that do not answer, and what they have is left out. So it is always
    tried: `guard` would refuse the other nodes as well.
    """

    def __init__(self, client: Redis, guard: RedisGuard | None = None) -> None:
        self._client = client
        self._guard = guard or store_guard()
        self._cluster = client if isinstance(client, Cluster) else None

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        values = self._mget([*map(keys.header, modules), *map(keys.missing, modules)])
        found: dict[ObjectId, bytes | Missing] = {}
        n = len(modules)
        for module, header, marker in zip(modules, values[:n], values[n:], strict=True):
            known = _missing(module, marker) if header is None else header
            if known is not None:
                found[module] = known
        return found

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        values = self._mget([keys.page(key) for key in wanted])
        return {key: value for key, value in zip(wanted, values, strict=True) if value is not None}

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        with self._asking(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(keys.header(module), raw)
            pipeline.unlink(keys.missing(module))
            pipeline.execute()

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        with self._asking():
            for some in _portions(pages):
                self._client.mset(some)

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        with self._asking():
            self._client.set(keys.missing(module), _marker(module, missing), ex=seconds)

    def missing_seconds(self, module: ObjectId) -> float | None:
        with self._asking():
            left = self._client.pttl(keys.missing(module))
        return left / 1000 if left >= 0 else None

    def forget(self, module: ObjectId) -> None:
        with self._asking():
            self._client.unlink(keys.header(module), keys.missing(module))

    def stats(self, scan_seconds: float = 1.0) -> StoreStats:
        """Looks at keys for `scan_seconds`; where that is too short, the number of modules is an estimate."""
        with self._asking():
            return read_stats(self._client, scan_seconds)

    def _mget(self, names: Sequence[str]) -> list[bytes | None]:
        """A key of another type counts as not there: that is how MGET has it."""
        values: list[bytes | None] = []
        if names:
            with self._asking():
                ask = self._cluster.mget_reachable if self._cluster else self._client.mget
                for start in range(0, len(names), KEYS_PER_MGET):
                    values += cast(list[bytes | None], ask(names[start : start + KEYS_PER_MGET]))
        return values

    def _asking(self) -> AbstractContextManager[None]:
        return self._guard.guarded(admit=self._cluster is None)


def _marker(module: ObjectId, missing: Missing) -> str:
    spelling = {"spelling": module.debug_file} if missing.is_of_spelling(module) else {}
    return json.dumps(missing._asdict() | spelling)


def _missing(module: ObjectId, marker: bytes | None) -> Missing | None:
    """Return what `put_missing` wrote; anything else, and what holds for another spelling, is not there."""
    if marker is None:
        return None
    try:
        fields = json.loads(marker)
        missing = Missing(fields["kind"], fields["reason"])
        spelling = fields.get("spelling", module.debug_file)
    except (ValueError, TypeError, KeyError):
        return None
    right = missing.kind in get_args(MissingKind) and isinstance(missing.reason, str)
    return missing if right and spelling == module.debug_file else None


def _portions(pages: Mapping[PageKey, bytes]) -> Iterator[dict[str, bytes]]:
    """Cuts `pages` so that no command is much longer than BYTES_PER_MSET."""
    some: dict[str, bytes] = {}
    size = 0
    for key, raw in pages.items():
        some[keys.page(key)] = raw
        size += len(raw)
        if size >= BYTES_PER_MSET:
            yield some
            some, size = {}, 0
    if some:
        yield some

"""A store that was asked for pages, as far as redis-cache knows."""

from __future__ import annotations

import redis

from tecken.store.access_counts import KEY
from tecken.store.miss_ratio import PLACES, Access, Chunk, hash_name


def asked(client: redis.Redis, keys: int, times: int, size: int = 1000) -> None:
    """For each of `keys` pages of `size` bytes, one after the other, and that several times over."""
    once = tuple(Access(hash_name(f"page {number}"), size) for number in range(keys))
    client.rpush(KEY, *[Chunk(PLACES, keys, once).packed()] * times)

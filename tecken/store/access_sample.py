"""Sampling of accesses to the store, and the binary form of a sample (SHARDS).

A key is sampled by its hash, so all accesses to it are sampled or none, and distances between them stay true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple, Self

from tecken.errors import Malformed

# The paper's P: a rate is a multiple of 1 / PLACES.
PLACES = 1 << 24
VERSION = 1
# Version, threshold, number of all accesses.
HEAD = Struct("<BIQ")
# Hash of the key, bytes in memory.
ACCESS = Struct("<QI")


class Access(NamedTuple):
    """Access to a key: 64 bits of its hash, of which the last 24 decide about sampling, and its bytes."""

    key: int
    size: int


def hash_name(name: str) -> int:
    """Return 64 bits of a hash of a key's name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def threshold(rate: float) -> int:
    """Return the threshold for a rate above 0, up to 1."""
    return max(1, min(PLACES, round(rate * PLACES)))


def is_sampled(key: int, below: int) -> bool:
    """Return whether a hash is below the threshold."""
    return key % PLACES < below


class Chunk(NamedTuple):
    """Consecutive accesses: the sampled ones, and the number of all."""

    below: int
    total: int
    accesses: tuple[Access, ...]

    @property
    def rate(self) -> float:
        """Return the share of keys that are sampled."""
        return self.below / PLACES

    def thinned(self, below: int) -> Self:
        """Return the chunk as if it had been sampled with a lower threshold."""
        if below >= self.below:
            return self
        return self._replace(
            below=below, accesses=tuple(a for a in self.accesses if is_sampled(a.key, below))
        )

    def packed(self) -> bytes:
        """Return the binary form."""
        head = HEAD.pack(VERSION, self.below, self.total)
        return head + b"".join(ACCESS.pack(*access) for access in self.accesses)


def unpack(raw: bytes) -> Chunk:
    """Return the chunk in a binary form of this version. Raises Malformed for any other bytes."""
    body = memoryview(raw)[HEAD.size :]
    if len(raw) < HEAD.size or raw[0] != VERSION or len(body) % ACCESS.size:
        raise Malformed("not a chunk of accesses")
    _version, below, total = HEAD.unpack_from(raw)
    return Chunk(below, total, tuple(map(Access._make, ACCESS.iter_unpack(body))))


def unpack_all(raws: Iterable[bytes]) -> Iterator[Chunk]:
    """Yield the chunks of this version, and skip those of others."""
    for raw in raws:
        try:
            yield unpack(raw)
        except Malformed:
            continue

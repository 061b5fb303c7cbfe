"""Which accesses are looked at, and how they are written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple, Self

from tecken.errors import Malformed

PLACES = 1 << 24  # the paper's P: a rate is a multiple of one in so many
VERSION = 1
HEAD = Struct("<BIQ")  # version, threshold, accesses altogether
ACCESS = Struct("<QI")  # the key's hash, bytes in memory


class Access(NamedTuple):
    key: int
    """64 bits of a hash; the last 24 say whether it is sampled."""
    size: int
    """Bytes."""


def hash_name(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def threshold(rate: float) -> int:
    """Of a rate above 0, up to 1."""
    return max(1, min(PLACES, round(rate * PLACES)))


def is_sampled(key: int, below: int) -> bool:
    return key % PLACES < below


class Chunk(NamedTuple):
    """Some consecutive accesses: the sampled ones, and how many there were altogether."""

    below: int
    total: int
    accesses: tuple[Access, ...]

    @property
    def rate(self) -> float:
        return self.below / PLACES

    def thinned(self, below: int) -> Self:
        """As if it had been sampled at a lower rate."""
        if below >= self.below:
            return self
        return self._replace(
            below=below, accesses=tuple(a for a in self.accesses if is_sampled(a.key, below))
        )

    def packed(self) -> bytes:
        head = HEAD.pack(VERSION, self.below, self.total)
        return head + b"".join(ACCESS.pack(*access) for access in self.accesses)


def unpack(raw: bytes) -> Chunk:
    """Raises Malformed for what `packed` of this version did not write."""
    body = memoryview(raw)[HEAD.size :]
    if len(raw) < HEAD.size or raw[0] != VERSION or len(body) % ACCESS.size:
        raise Malformed("not a chunk of accesses")
    _version, below, total = HEAD.unpack_from(raw)
    return Chunk(below, total, tuple(map(Access._make, ACCESS.iter_unpack(body))))


def unpack_all(raws: Iterable[bytes]) -> Iterator[Chunk]:
    """Those of another version are passed over."""
    for raw in raws:
        try:
            yield unpack(raw)
        except Malformed:
            continue

"""Miss-ratio curve of the store, and sizes of its keys, estimated from a sample (SHARDS). Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate
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
    """Access to a key: 64 bits of its hash, whose last 24 decide about sampling, and its bytes."""

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


class Entries(NamedTuple):
    """Number and sizes in bytes of the keys that were accessed, estimated from a sample."""

    keys: int
    size: int
    by_size: tuple[tuple[int, int], ...]
    """Pairs of a power of two and the number of keys below it that are not below the previous one.

    Ascending and without gaps.
    """


def entries(chunks: Sequence[Chunk]) -> Entries:
    """Return the entries of a sample. A key counts with its last size."""
    below = min((chunk.below for chunk in chunks), default=1)
    thin = [chunk.thinned(below) for chunk in chunks]
    sizes = {access.key: access.size for chunk in thin for access in chunk.accesses}
    if not sizes:
        return Entries(0, 0, ())
    rate = thin[0].rate
    counts = Counter(size.bit_length() for size in sizes.values())
    powers = range(min(counts), max(counts) + 1)
    by_size = tuple((1 << power, round(counts[power] / rate)) for power in powers)
    return Entries(round(len(sizes) / rate), round(sum(sizes.values()) / rate), by_size)


# Share of the chunks that only show which keys were accessed before. Their own hits are not counted.
WARM_UP = 0.25


class MissRatioCurve(NamedTuple):
    """Hit ratio of an LRU store by its size, from `sampled` of all `accesses`."""

    sizes: tuple[int, ...]
    """Sizes in bytes at which the ratio changes, ascending."""
    ratios: tuple[float, ...]
    """Share of accesses that hit a store of that size, 0 to 1, ascending."""
    accesses: int
    sampled: int

    @property
    def best(self) -> float:
        """Return the ratio of a store without evictions. Its misses are first accesses."""
        return self.ratios[-1] if self.ratios else 0.0

    def hit_ratio(self, size: int) -> float:
        """Return the ratio of a store of `size` bytes."""
        at = bisect_right(self.sizes, size)
        return self.ratios[at - 1] if at else 0.0

    def size_for(self, ratio: float) -> int | None:
        """Return the size of the smallest store with that ratio; None if too many keys are new for it."""
        return next((size for size, hit in zip(self.sizes, self.ratios, strict=True) if hit >= ratio), None)

    def thinned(self, points: int) -> MissRatioCurve:
        """Return the curve with at most `points` of its steps, the last one among them."""
        step = -(-len(self.sizes) // points) or 1
        chosen = range(len(self.sizes) - 1, -1, -step)[::-1]
        sizes, ratios = tuple(self.sizes[at] for at in chosen), tuple(self.ratios[at] for at in chosen)
        return self._replace(sizes=sizes, ratios=ratios)


def curve(chunks: Sequence[Chunk], warm_up: float = WARM_UP) -> MissRatioCurve:
    """Return the curve of chunks in their order. All are thinned to the lowest rate."""
    # A sample is valid at one rate only, so all chunks are thinned to the lowest one.
    below = min((chunk.below for chunk in chunks), default=1)
    thin = [chunk.thinned(below) for chunk in chunks]
    warming = round(len(thin) * warm_up)
    before = sum(len(chunk.accesses) for chunk in thin[:warming])
    every = [access for chunk in thin for access in chunk.accesses]
    distances = list(reuse_distances(every))[before:]
    total = sum(chunk.total for chunk in thin[warming:])
    rate = thin[0].rate if thin else 1.0
    return _curve([d for d in distances if d is not None], len(distances), total, rate)


def _curve(distances: list[int], sampled: int, total: int, rate: float) -> MissRatioCurve:
    # The paper's SHARDS-adj: if the sample has fewer accesses than expected, or more, those are of very hot
    # keys.
    if total == 0:
        return MissRatioCurve((), (), 0, 0)
    expected = total * rate
    lacking = expected - sampled
    sizes: list[int] = []
    ratios: list[float] = []
    for number, distance in enumerate(sorted(distances), 1):
        ratio = min(1.0, max(0.0, (number + lacking) / expected))
        if sizes and sizes[-1] == round(distance / rate):
            ratios[-1] = ratio
        else:
            sizes.append(round(distance / rate))
            ratios.append(ratio)
    return MissRatioCurve(tuple(sizes), tuple(accumulate(ratios, max)), total, sampled)


def reuse_distances(accesses: Iterable[Access]) -> Iterator[int | None]:
    """Yield the bytes of all keys accessed since the last access to the same key, itself included.

    The first access to a key has no distance: None. Mattson's stack in a tree of partial sums over time:
    Bennett, Kruskal: LRU Stack Processing, IBM Journal of Research and Development 19 (1975).
    """
    sequence = list(accesses)
    since = Sums(len(sequence))
    last: dict[int, tuple[int, int]] = {}
    for now, (key, size) in enumerate(sequence):
        before = last.get(key)
        if before is None:
            yield None
        else:
            then, old_size = before
            yield since.total - since.up_to(then) + size
            since.add(then, -old_size)
        since.add(now, size)
        last[key] = now, size


class Sums:
    """Fenwick's tree: a number for each of `length` places, and prefix sums in logarithmic time.

    Fenwick: A new data structure for cumulative frequency tables, Software: Practice and Experience 24
    (1994).
    """

    def __init__(self, length: int) -> None:
        self._tree = [0] * (length + 1)
        self.total = 0

    def add(self, place: int, amount: int) -> None:
        """Add an amount to the number of a place."""
        self.total += amount
        tree, at = self._tree, place + 1
        while at < len(tree):
            tree[at] += amount
            at += at & -at

    def up_to(self, place: int) -> int:
        """Return the sum of places 0 to `place`, inclusive."""
        tree, at, found = self._tree, place + 1, 0
        while at:
            found += tree[at]
            at -= at & -at
        return found

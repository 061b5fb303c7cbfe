"""What was asked for, each key once."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from tecken.store.access_sample import Access, Chunk


class Entries(NamedTuple):
    """Estimated where only some keys were looked at. Sizes are bytes."""

    keys: int
    size: int
    by_size: tuple[tuple[int, int], ...]
    """Keys by powers of two, ascending and without gaps: each counts those below it that are not below the
    one before."""


def entries(chunks: Sequence[Chunk]) -> Entries:
    """Of each key the size that it had last."""
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


WARM_UP = 0.25  # of the chunks: they say what was asked before, and are not counted


class Curve(NamedTuple):
    """Hits of an LRU store by its size. `accesses` were counted, `sampled` of them looked at."""

    sizes: tuple[int, ...]
    """Bytes, ascending: at each of them the ratio changes."""
    ratios: tuple[float, ...]
    """Of accesses that hit a store of that size, 0 to 1, ascending."""
    accesses: int
    sampled: int

    @property
    def best(self) -> float:
        """Of a store that forgets nothing: the rest was asked for the first time."""
        return self.ratios[-1] if self.ratios else 0.0

    def hit_ratio(self, size: int) -> float:
        """Of a store of `size` bytes."""
        at = bisect_right(self.sizes, size)
        return self.ratios[at - 1] if at else 0.0

    def size_for(self, ratio: float) -> int | None:
        """Bytes of the smallest store that hits as often. None: no size does, too many keys are new."""
        return next((size for size, hit in zip(self.sizes, self.ratios, strict=True) if hit >= ratio), None)

    def thinned(self, points: int) -> Curve:
        """At most so many of its steps, the last one among them."""
        step = -(-len(self.sizes) // points) or 1
        chosen = range(len(self.sizes) - 1, -1, -step)[::-1]
        sizes, ratios = tuple(self.sizes[at] for at in chosen), tuple(self.ratios[at] for at in chosen)
        return self._replace(sizes=sizes, ratios=ratios)


def curve(chunks: Sequence[Chunk], warm_up: float = WARM_UP) -> Curve:
    """Of all accesses in their order; chunks of different rates count at the lowest."""
    below = min((chunk.below for chunk in chunks), default=1)
    thin = [chunk.thinned(below) for chunk in chunks]
    warming = round(len(thin) * warm_up)
    before = sum(len(chunk.accesses) for chunk in thin[:warming])
    every = [access for chunk in thin for access in chunk.accesses]
    distances = list(reuse_distances(every))[before:]
    total = sum(chunk.total for chunk in thin[warming:])
    rate = thin[0].rate if thin else 1.0
    return _curve([d for d in distances if d is not None], len(distances), total, rate)


def _curve(distances: list[int], sampled: int, total: int, rate: float) -> Curve:
    """The paper's SHARDS-adj: accesses that the sample lacks, or has too many of, are of very hot keys."""
    if total == 0:
        return Curve((), (), 0, 0)
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
    return Curve(tuple(sizes), tuple(accumulate(ratios, max)), total, sampled)


def reuse_distances(accesses: Iterable[Access]) -> Iterator[int | None]:
    """Bytes of all keys asked for since the same key was, itself included. None for the first time.

    Mattson's stack in a tree of partial sums over time: Bennett, Kruskal: LRU Stack Processing, IBM
    Journal of Research and Development 19 (1975).
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
    """Fenwick's tree: a number for each of `length` places, and sums of the first few, in logarithmic time.

    Fenwick: A new data structure for cumulative frequency tables, Software: Practice and Experience 24
    (1994).
    """

    def __init__(self, length: int) -> None:
        self._tree = [0] * (length + 1)
        self.total = 0

    def add(self, place: int, amount: int) -> None:
        self.total += amount
        tree, at = self._tree, place + 1
        while at < len(tree):
            tree[at] += amount
            at += at & -at

    def up_to(self, place: int) -> int:
        """Of places 0 to `place`, that included."""
        tree, at, found = self._tree, place + 1, 0
        while at:
            found += tree[at]
            at -= at & -at
        return found

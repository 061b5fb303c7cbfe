"""What was asked for, each key once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tecken.missratio.sample import Chunk


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

"""What fits into so many bytes, without what was not used for longest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from cachetools import LRUCache

K = TypeVar("K")
V = TypeVar("V")


class Bounded(LRUCache[K, V]):
    """The bound may change while it is in use. Not thread-safe, as its base."""

    def __init__(self, max_bytes: int, getsizeof: Callable[[V], float]) -> None:
        super().__init__(math.inf, getsizeof)
        self._max_bytes = max_bytes

    def keep(self, key: K, value: V) -> None:
        """Unless it is larger than all together may be."""
        if self.getsizeof(value) <= self._max_bytes:
            self[key] = value
            self._shrink()

    def resize(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self.currsize > self._max_bytes:
            self.popitem()

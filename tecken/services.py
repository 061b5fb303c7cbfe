"""Registry of the long-lived objects of a process.

Each package builds its own in `<package>/services.py`: clients, stores, caches, queues. A function there is
marked with `per_process`, so that its object is built from the settings when it is first needed, and once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

T = TypeVar("T")

_discards: list[Callable[[], None]] = []


def per_process(build: Callable[[], T]) -> _lru_cache_wrapper[T]:
    """Return a decorated function that builds its object once and returns the same one afterwards."""
    cached = cache(build)
    _discards.append(cached.cache_clear)
    return cached


def discard_all() -> None:
    """Discard every object, so that each is built again when it is next needed."""
    for discard in _discards:
        discard()


# A forked child builds its own objects: threads, sockets and obstore's runtime do not survive a fork, and a
# socket that two processes share would give one of them the answers of the other.
os.register_at_fork(after_in_child=discard_all)

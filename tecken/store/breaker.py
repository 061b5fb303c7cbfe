"""Spares callers a server that is away: one of them per pause finds out, the others are told at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from tecken.errors import StoreAway


class Breaker:
    """Opens with the first failure, lets one call in every `pause` seconds, closes with the first answer.

    It holds no lock: calls go on side by side, and no fork can leave one taken. A race costs one more try.
    """

    def __init__(self, pause: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._next_try: float | None = None  # None: closed

    def admit(self) -> None:
        """Raises StoreAway while open."""
        next_try = self._next_try
        if next_try is None:
            return
        now = self._clock()
        if now < next_try:
            raise StoreAway("the symbol store was away a moment ago", retry_after=next_try - now)
        self._next_try = now + self._pause

    def failed(self) -> None:
        self._next_try = self._clock() + self._pause

    def answered(self) -> None:
        self._next_try = None

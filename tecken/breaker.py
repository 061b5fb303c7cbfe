"""Spares callers something that is away: one of them per pause finds out, the others are told at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from tecken.errors import CouldNotAsk


class Breaker:
    """Opens with the last of `failures` in a row; then one call per `pause` seconds, until one is answered.

    It holds no lock: calls go on side by side, and no fork can leave one taken. A race costs one more try.
    """

    def __init__(
        self,
        name: str,
        failures: int = 1,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        raises: type[CouldNotAsk] = CouldNotAsk,
    ) -> None:
        self._name = name
        self._failures = failures
        self._pause = pause
        self._clock = clock
        self._raises = raises
        self._in_a_row = 0
        self._next_try = 0.0

    @property
    def open(self) -> bool:
        return self._in_a_row >= self._failures

    def admit(self) -> None:
        """Raises `raises` while open."""
        if not self.open:
            return
        now = self._clock()
        if now < self._next_try:
            raise self._raises(f"{self._name}: not asked, it has just failed", self._next_try - now)
        self._next_try = now + self._pause

    def failed(self) -> None:
        self._in_a_row += 1
        self._next_try = self._clock() + self._pause

    def answered(self) -> None:
        self._in_a_row = 0

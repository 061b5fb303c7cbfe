"""Circuit breaker: while a service does not answer, one call per pause tries it, the others fail."""

from __future__ import annotations

import time
from collections.abc import Callable

from tecken.errors import Unavailable


class CircuitBreaker:
    """Breaker that opens after `failures` in a row, and then admits one call per `pause` seconds.

    The first answer closes it. Without a breaker, each request to a mute server would hold its thread for one
    timeout, and soon all threads of a process would wait.

    It has no lock: a child forked while another thread held it could never take it. A race costs one more
    try.
    """

    def __init__(
        self,
        name: str,
        failures: int = 1,
        pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        raises: type[Unavailable] = Unavailable,
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
        """Return whether the last calls have failed."""
        return self._in_a_row >= self._failures

    def admit(self) -> None:
        """Return if a call may be tried now; raise the error of the breaker otherwise."""
        if not self.open:
            return
        now = self._clock()
        if now < self._next_try:
            raise self._raises(f"{self._name}: not asked, it has just failed", self._next_try - now)
        self._next_try = now + self._pause

    def failed(self) -> None:
        """Record a call that got no answer."""
        self._in_a_row += 1
        self._next_try = self._clock() + self._pause

    def answered(self) -> None:
        """Record an answer, and close."""
        self._in_a_row = 0

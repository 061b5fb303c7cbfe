"""The guard that all users of one Redis server share, and its circuit breaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import redis
from redis.exceptions import LockError, MaxConnectionsError

from tecken.errors import Unavailable
from tecken.services import per_process


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

    def record_failure(self) -> None:
        """Record a call that got no answer."""
        self._in_a_row += 1
        self._next_try = self._clock() + self._pause

    def record_answer(self) -> None:
        """Record an answer, and close."""
        self._in_a_row = 0


P = ParamSpec("P")
T = TypeVar("T")

# Beginnings of the errors of a server that answers and cannot store: its disk is full, or its replicas are
# gone.
_CANNOT_STORE = ("MISCONF", "NOREPLICAS")


class RedisGuard:
    """Guard of one Redis server, for any number of clients and databases.

    A process has one for each server. While the server does not answer, all its users together wait for one
    timeout per second: one call tries, and the others raise `error` at once. With a guard for each user, each
    of them would wait for a timeout of its own. An answer to any call ends this state.

    An error reply counts as an answer. It costs one round trip, and a server that is full, or is a replica,
    refuses writes and serves reads.
    """

    def __init__(
        self,
        name: str,
        *,
        error: type[Unavailable] = Unavailable,
        describe: Callable[[Exception], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaker = CircuitBreaker(name, clock=clock, raises=error)
        self._name = name
        self._error = error
        self._describe = describe or self._default_text

    @contextmanager
    def guarded(self, *, admit: bool = True) -> Iterator[None]:
        """Guard the commands of the block. Raise `error` instead of an error of redis-py.

        With `admit` false the block always runs, and only its outcome is recorded. A LockError passes: it is
        about a lock and not about the server.
        """
        if admit:
            self.breaker.admit()
        try:
            yield
        except LockError:
            self.breaker.record_answer()
            raise
        except (redis.RedisError, OSError) as error:
            self._record(error)
            raise self._error(self._describe(error)) from error
        self.breaker.record_answer()

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Record the outcome of the block, which always runs and whose errors pass unchanged."""
        try:
            yield
        except (redis.RedisError, OSError) as error:
            self._record(error)
            raise
        self.breaker.record_answer()

    def call(self, command: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return the result of one guarded command."""
        with self.guarded():
            return command(*args, **options)

    def _record(self, error: Exception) -> None:
        if isinstance(error, redis.ResponseError):
            self.breaker.record_answer()
        # A full pool is a state of this process and not of the server.
        elif not isinstance(error, MaxConnectionsError):
            self.breaker.record_failure()

    def _default_text(self, error: Exception) -> str:
        # Not the text of the error, which may quote a command, and with it a password.
        if isinstance(error, redis.ResponseError):
            return f"{self._name} answered with {type(error).__name__}"
        return f"{self._name} does not answer"


@per_process
def redis_cache() -> RedisGuard:
    """Return the guard of redis-cache, which holds cache, queue, configuration and counters."""
    return RedisGuard("redis-cache")


def problem(error: Exception, server: str = "redis-cache") -> str:
    """Return a sentence about a failed command, in our own words; the text of `error` belongs in the log."""
    if isinstance(error, redis.ReadOnlyError | redis.exceptions.OutOfMemoryError) or (
        isinstance(error, redis.ResponseError) and any(code in str(error) for code in _CANNOT_STORE)
    ):
        return f"{server} answers, but takes no writes"
    if isinstance(error, redis.ResponseError):
        return f"{server} refuses a command"
    return f"{server} does not answer"

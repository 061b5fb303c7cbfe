"""One at a time per module, for all processes on all hosts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread
from typing import Protocol

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from tecken.errors import CouldNotAsk, Pending
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion import keys
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)


class Turns(Protocol):
    def take(self, module: ObjectId) -> AbstractContextManager[None]:
        """Waits for one's turn. Raises Pending when somebody else keeps it for too long."""
        ...


class RedisTurns:
    """A lock with a token on redis-cache, extended by a thread of the holder for as long as the holder lives.

    A short expiry that is extended beats one above the longest conversion: when a holder is killed, the next
    one waits `expiry` seconds and not ten minutes. It is a thread that extends, since one read from a slow
    source may take longer than that. When redis-cache is away the work is done without a turn: to convert
    twice gives the same page file twice.
    """

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, expiry: float = 30.0, patience: float = 600.0
    ) -> None:
        self._client = client
        self._guard = guard
        self._expiry = expiry
        self._patience = patience

    @contextmanager
    def take(self, module: ObjectId) -> Iterator[None]:
        lock = Lock(self._client, keys.turn(module), timeout=self._expiry, sleep=0.05, thread_local=False)
        if not self._acquired(lock, module):
            yield
            return
        stop = Event()
        beat = Thread(target=self._extend, args=(lock, stop), name=f"turn {module}", daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()
            self._release(lock, module)

    def _acquired(self, lock: Lock, module: ObjectId) -> bool:
        try:
            if self._guard.call(lock.acquire, blocking_timeout=self._patience):
                return True
        except CouldNotAsk as error:
            logger.warning("%s: converting without a turn: %s", module, error.__cause__ or error)
            return False
        raise Pending(f"{module} has been converted elsewhere for over {self._patience:g} s")

    def _extend(self, lock: Lock, stop: Event) -> None:
        while not stop.wait(self._expiry / 3):
            try:
                self._guard.call(lock.reacquire)
            except LockError:
                return
            except CouldNotAsk as error:
                logger.warning("%s: not extended: %s", lock.name, error.__cause__ or error)

    def _release(self, lock: Lock, module: ObjectId) -> None:
        try:
            self._guard.call(lock.release)
        except (CouldNotAsk, LockError) as error:
            logger.warning("%s: turn was not given back: %s", module, error.__cause__ or error)

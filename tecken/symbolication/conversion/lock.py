"""Conversion lock: one process of the fleet converts a module at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread
from typing import Protocol

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from tecken.errors import Pending, Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion import keys
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)


class ConversionLock(Protocol):
    """Locks by module."""

    def hold(self, module: ObjectId) -> AbstractContextManager[None]:
        """Wait for the module's lock and hold it. Raises Pending when it is held elsewhere for too long."""
        ...


class RedisConversionLock:
    """Locks with a token on redis-cache, each extended by a thread of its holder.

    The expiry is short and extended, not longer than the longest conversion: when a holder is killed, the
    next process waits `expiry` seconds and not ten minutes. A thread extends it, because a single read from
    a slow source may take longer than `expiry`; without the thread a second process would convert the same
    module meanwhile. The token prevents a holder whose lock has expired from releasing the lock of the next
    holder.

    Without redis-cache the conversion runs without a lock. That is safe: two conversions of the same text
    write the same page file.

    `patience` is the longest time to wait for another holder, in seconds.
    """

    def __init__(
        self, client: redis.Redis, guard: RedisGuard, expiry: float = 30.0, patience: float = 600.0
    ) -> None:
        self._client = client
        self._guard = guard
        self._expiry = expiry
        self._patience = patience

    @contextmanager
    def hold(self, module: ObjectId) -> Iterator[None]:
        """Wait for the module's lock and hold it. Raises Pending when it is held elsewhere for too long."""
        lock = Lock(self._client, keys.lock(module), timeout=self._expiry, sleep=0.05, thread_local=False)
        if not self._acquire(lock, module):
            yield
            return
        stop = Event()
        extender = Thread(target=self._extend, args=(lock, stop), name=f"lock {module}", daemon=True)
        extender.start()
        try:
            yield
        finally:
            # The thread ends before the lock is released, so that it never extends a lock that is not held.
            stop.set()
            extender.join()
            self._release(lock, module)

    def _acquire(self, lock: Lock, module: ObjectId) -> bool:
        """Return whether the lock is held; False without redis-cache. Raises Pending."""
        try:
            if self._guard.call(lock.acquire, blocking_timeout=self._patience):
                return True
        except Unavailable as error:
            cause = error.__cause__ or error
            logger.warning("%s: cannot acquire the conversion lock: %s; converting without it", module, cause)
            return False
        raise Pending(f"{module} has been converted elsewhere for over {self._patience:g} s")

    def _extend(self, lock: Lock, stop: Event) -> None:
        while not stop.wait(self._expiry / 3):
            try:
                self._guard.call(lock.reacquire)
            except LockError:
                # The lock has expired and may have another holder.
                return
            except Unavailable as error:
                cause = error.__cause__ or error
                logger.warning("%s: cannot extend the conversion lock: %s; trying again", lock.name, cause)

    def _release(self, lock: Lock, module: ObjectId) -> None:
        try:
            self._guard.call(lock.release)
        except (Unavailable, LockError) as error:
            cause = error.__cause__ or error
            logger.warning("%s: cannot release the conversion lock: %s; it will expire", module, cause)

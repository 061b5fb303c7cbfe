"""Cache invalidation across processes, sent when a module's symbols change.

A message only shortens the time in which former symbols are used. Without redis-cache, or when a message is
lost, a process notices the change once it no longer trusts its header (see HeaderCache).
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable
from random import Random
from threading import Thread
from typing import Any, Protocol

import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion import keys
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)

# Seconds without a message before a PING is sent. After another such period the connection counts as dead.
SILENCE_SECONDS = 5.0

# Seconds before connecting again. Each pause is twice as long as the one before.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0


class InvalidationPublisher:
    """Publisher of invalidations on redis-cache."""

    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._client = client
        self._guard = guard

    def publish(self, module: ObjectId) -> None:
        """Publish that `module` has other symbols. Takes one short deadline at most and raises nothing."""
        try:
            self._guard.call(self._client.publish, keys.REPLACED, module.key)
        except Unavailable as error:
            # An error without a cause comes from the circuit breaker, which has logged the failure already.
            if error.__cause__:
                cause = type(error.__cause__).__name__
                logger.warning(
                    "%s: cannot publish the invalidation: %s; other processes use the former symbols "
                    "until their headers expire",
                    module,
                    cause,
                )


class Invalidatable(Protocol):
    """Cache that follows invalidations."""

    def drop(self, module: ObjectId) -> None:
        """Drop what is cached of `module`."""
        ...

    def invalidate_all(self) -> None:
        """Stop trusting every entry, because invalidations may have been missed."""
        ...


def _ignore_result(_key: str) -> None:
    pass


class InvalidationSubscriber:
    """Subscriber that passes invalidations to a cache, in a daemon thread.

    It also passes the keys of modules that have something new for waiting requests to `on_result`.

    The thread holds a weak reference and ends when the cache is gone. Threads do not survive a fork, so a
    child process builds a cache and an InvalidationSubscriber of its own; a shared one would leave the child
    with headers that are never invalidated.
    """

    def __init__(
        self,
        client: redis.Redis,
        target: Invalidatable,
        silence: float = SILENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        on_result: Callable[[str], None] = _ignore_result,
    ) -> None:
        self._client = client
        self._on_result = on_result
        self._target = weakref.ref(target)
        self._silence = silence
        self._sleep = sleep
        self._pause = FIRST_PAUSE
        # Spreads the processes that connect again. A generator of its own, because a thread uses it.
        self._random = Random()  # noqa: S311

    def start(self) -> Thread:
        """Start the thread and return it."""
        thread = Thread(target=self._run, name="invalidations", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        while self._target():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if self._pause == FIRST_PAUSE and self._target():
                    logger.warning("lost the subscription to invalidations: %s; connecting again", error)
                self._sleep(self._pause * self._random.uniform(0.5, 1.0))
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _listen(self) -> None:
        # A connection that a firewall has dropped looks like a quiet channel: without the PING this thread
        # would wait for ever and the process would miss every invalidation.
        is_silent = False
        with self._client.pubsub() as channel:  # type: ignore[no-untyped-call]
            # In this order: both are subscribed when the cache stops trusting its entries.
            channel.subscribe(keys.ANSWERED)
            channel.subscribe(keys.REPLACED)
            while self._target():
                message = channel.get_message(timeout=self._silence)
                if message:
                    self._handle(message)
                elif is_silent:
                    raise redis.TimeoutError("no answer to PING")
                else:
                    channel.ping()
                is_silent = not message

    def _handle(self, message: dict[str, Any]) -> None:
        target = self._target()
        if message["channel"] == keys.ANSWERED.encode():
            if message["type"] == "message":
                self._on_result(message["data"].decode(errors="replace"))
        elif target and message["type"] == "subscribe":
            # Messages published before this moment were not received, so no entry can be trusted.
            target.invalidate_all()
            self._pause = FIRST_PAUSE
        elif target and message["type"] == "message":
            target.drop(ObjectId.from_key(message["data"].decode(errors="replace")))

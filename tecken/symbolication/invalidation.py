"""Tells every process at once that a module has other symbols now.

Only a hint: without redis-cache, or when a message is lost, a process learns it once it trusts its header no
longer (HeaderCache).
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

from tecken.errors import CouldNotAsk
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion import keys
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)
SILENCE_SECONDS = 5.0  # then a PING is sent; after another such silence the connection is dead
FIRST_PAUSE = 0.25  # seconds before connecting again; each pause is twice as long as the one before
LONGEST_PAUSE = 30.0


class Herald:
    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._client = client
        self._guard = guard

    def tell(self, module: ObjectId) -> None:
        """One short deadline; raises nothing."""
        try:
            self._guard.call(self._client.publish, keys.REPLACED, module.key)
        except CouldNotAsk as error:
            # Without a cause the server was not asked: it has just failed, and that is logged.
            if error.__cause__:
                logger.warning(
                    "%s: other processes were not told: %s", module, type(error.__cause__).__name__
                )


class Hearer(Protocol):
    def drop(self, module: ObjectId) -> None: ...

    def doubt(self) -> None:
        """What was told before now has not been heard."""
        ...


class Listener:
    """Passes on to `hearer` what heralds tell, in a daemon thread that ends when the hearer is gone.

    A forked child has no such thread: it makes a hearer and a Listener of its own.
    """

    def __init__(
        self,
        client: redis.Redis,
        hearer: Hearer,
        silence: float = SILENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._hearer = weakref.ref(hearer)
        self._silence = silence
        self._sleep = sleep
        self._pause = FIRST_PAUSE
        self._chance = Random()  # noqa: S311 - spreads processes; its own, since it is drawn from in a thread

    def start(self) -> Thread:
        thread = Thread(target=self._run, name="replaced modules", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        while self._hearer():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if self._pause == FIRST_PAUSE and self._hearer():
                    logger.warning("not told of replaced modules until redis-cache answers: %s", error)
                self._sleep(self._pause * self._chance.uniform(0.5, 1.0))
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _listen(self) -> None:
        silent = False
        with self._client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(keys.REPLACED)
            while self._hearer():
                message = channel.get_message(timeout=self._silence)
                if message:
                    self._heard(message)
                elif silent:
                    raise redis.TimeoutError("no answer to PING")
                else:
                    channel.ping()
                silent = not message

    def _heard(self, message: dict[str, Any]) -> None:
        hearer = self._hearer()
        if hearer and message["type"] == "subscribe":
            hearer.doubt()
            self._pause = FIRST_PAUSE
        elif hearer and message["type"] == "message":
            hearer.drop(ObjectId.from_key(message["data"].decode(errors="replace")))

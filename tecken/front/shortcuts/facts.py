"""What redis-cache knows about files, read for all waiting requests together.

The presence cache is the only place where an upload or a removal is seen by all processes at once, so each
request reads it after it has come. Requests that come during one round trip share the next one.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from typing import Final, Generic, Protocol, TypeVar

from tecken.storage.presence_cache import Fact, Unknown

logger = logging.getLogger(__name__)

Facts = list[Fact | Unknown]
Read = Callable[[Sequence[str]], Facts]

UNKNOWN: Final = Unknown()

MAX_AT_ONCE: Final = 256
"""Requests of one round trip: the others do not wait for a longer reply."""


class Waiting(Protocol):
    """Request that waits for the facts under its names."""

    @property
    def names(self) -> Sequence[str]:
        """Return the names."""
        ...


W = TypeVar("W", bound=Waiting)


class FactReader(Generic[W]):
    """Reader with one thread, in which `read` runs. All other work is for one event loop.

    `settle` takes the requests of one round trip with their facts, and raises nothing.
    """

    def __init__(self, read: Read, settle: Callable[[Sequence[tuple[W, Facts]]], None]) -> None:
        self._read = read
        self._settle = settle
        self._waiting: deque[W] = deque()
        self._is_reading = False
        self._batches: SimpleQueue[tuple[AbstractEventLoop, Sequence[W]]] = SimpleQueue()
        self._thread: Thread | None = None

    def add(self, waiting: W) -> None:
        """Have the facts for a request read, from now on. It is settled in a later pass of the loop."""
        self._waiting.append(waiting)
        if not self._is_reading:
            self._is_reading = True
            loop = asyncio.get_running_loop()
            # Not now: this pass of the loop may have more requests.
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: AbstractEventLoop) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="front-facts", daemon=True)
            self._thread.start()
        count = min(MAX_AT_ONCE, len(self._waiting))
        self._batches.put((loop, [self._waiting.popleft() for _ in range(count)]))

    def _run(self) -> None:
        """Read the facts of one batch after the other, until the process ends."""
        while True:
            loop, batch = self._batches.get()
            names = list(dict.fromkeys(chain.from_iterable([waiting.names for waiting in batch])))
            facts: dict[str, Fact | Unknown] = {}
            try:
                facts = dict(zip(names, self._read(names), strict=True))
            except Exception:
                logger.exception("Cannot read what is known about files; the view of each request does")
            # The loop is closed when the process ends.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, loop, batch, facts)

    def _end(self, loop: AbstractEventLoop, batch: Sequence[W], facts: Mapping[str, Fact | Unknown]) -> None:
        # First, so that an error in `settle` cannot keep the others waiting.
        if self._waiting:
            self._begin(loop)
        else:
            self._is_reading = False
        self._settle([(waiting, [facts.get(name, UNKNOWN) for name in waiting.names]) for waiting in batch])

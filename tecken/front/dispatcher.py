"""Dispatcher of requests: the order in which they run, and the threads that run them."""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from tecken import waiting

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.02
"""Time after which another thread takes the next request, because a handler that runs for longer is itself
waiting for something.

Python runs one thread at a time. Two handlers that compute side by side only slow each other down, and the
slowest answers take twice as long. So one runs after the other while each takes its usual fraction of a
millisecond."""

PARKED: Final = 64
"""Largest number of threads that wait for a cold module, in addition to those that run."""


class QueuedRequest(NamedTuple):
    """A function to run, and the future of its result."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]


class Dispatcher:
    """Pool of threads that runs quick functions one after the other, and up to `threads` that wait.

    One thread, the current one, takes jobs from the queue without a pause, so a quick job costs no switch of
    threads. When its job takes long, the event loop makes another thread the current one; the first one
    finishes its job and rests. A thread whose handler waits for a worker (`tecken.waiting`) does not count as
    running; else a few requests for cold modules would stop the site.

    The event loop alone changes the attributes, apart from the results (`_done`, `_is_woken`), so they need
    no lock. A thread that reads `_current` a moment too late takes one job more, which does no harm.
    """

    def __init__(self, threads: int, loop: AbstractEventLoop) -> None:
        self._limit = threads
        self._loop = loop
        self._jobs: SimpleQueue[QueuedRequest] = SimpleQueue()
        self._resting: list[_Thread] = []
        self._busy: set[_Thread] = set()
        self._parked = 0
        self._current: _Thread | None = None
        self._is_watching = False
        self._done: deque[tuple[Future[Any], object, BaseException | None]] = deque()
        self._is_woken = False

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what `function` returns, raise what it raises."""
        future = self._loop.create_future()
        self._jobs.put(QueuedRequest(function, arguments, future))
        if self._current is None:
            self._appoint()
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_later(SWITCH_SECONDS, self._watch)
        result: T = await future
        return result

    def _appoint(self) -> None:
        """Make another thread the current one, if one may run."""
        if len(self._busy) - self._parked >= self._limit or len(self._busy) >= self._limit + PARKED:
            self._current = None
            return
        # The thread that rested last: its stack and its database connection are most likely still warm.
        thread = self._resting.pop() if self._resting else _Thread(self)
        self._busy.add(thread)
        self._current = thread
        thread.appointed.release()

    def _watch(self) -> None:
        """Make another thread the current one if a job waits behind one that takes long."""
        current = self._current
        if self._jobs.empty():
            self._is_watching = False
            return
        if current is None or time.monotonic() - current.began > SWITCH_SECONDS:
            self._appoint()
        self._loop.call_later(SWITCH_SECONDS, self._watch)

    def _call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call `function` in the event loop, unless the process ends and the loop is closed already."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _settle(self) -> None:
        """Set the futures of all results that threads have left."""
        # The flag is cleared before the first result is taken. Otherwise a thread could leave a result after
        # the last one was taken, see the flag still set, and wake no one: its request would never be
        # answered.
        self._is_woken = False
        while self._done:
            future, result, error = self._done.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _park(self, thread: _Thread, change: int) -> None:
        self._parked += change
        if change > 0 and thread is self._current:
            self._appoint()

    def _rest(self, thread: _Thread) -> None:
        self._busy.discard(thread)
        self._resting.append(thread)
        if self._current is None:
            self._appoint()


class _Thread(threading.Thread):
    """Thread that takes jobs while it is the dispatcher's current one, and rests otherwise."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(name="handler", daemon=True)
        self._dispatcher = dispatcher
        self.appointed = threading.Semaphore(0)
        self.began = time.monotonic()
        self.start()

    def run(self) -> None:
        """Run jobs until the process ends."""
        dispatcher = self._dispatcher
        waiting.set_parking(lambda change: dispatcher._call_soon(dispatcher._park, self, change))
        while True:
            self.appointed.acquire()
            while dispatcher._current is self:
                self._do(dispatcher._jobs.get())
            dispatcher._call_soon(dispatcher._rest, self)

    def _do(self, job: QueuedRequest) -> None:
        dispatcher = self._dispatcher
        self.began = time.monotonic()
        try:
            result, error = job.function(*job.arguments), None
        except BaseException as raised:  # noqa: BLE001 - handed to the waiting coroutine
            result, error = None, raised
        dispatcher._done.append((job.future, result, error))
        # One wake-up serves all results since the last one. Each wake-up costs a running handler two switches
        # of threads, because the event loop then waits for Python's lock.
        if not dispatcher._is_woken:
            dispatcher._is_woken = True
            dispatcher._call_soon(dispatcher._settle)

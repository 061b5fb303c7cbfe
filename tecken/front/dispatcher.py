"""Which request runs next, and in which thread."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from tecken import waiting

T = TypeVar("T")

PATIENCE_SECONDS: Final = 0.005
"""After this time a request no longer waits for the running one, which is itself waiting for something.

Python runs one thread at a time. Two handlers that compute side by side only slow each other down, and the
slowest answers take twice as long. So one runs after the other while each takes its usual fraction of a
millisecond."""

PARKED: Final = 64
"""Threads that may wait for a cold module at the same time, beside those that run."""


class Job(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any]
    submitted: float


class Dispatcher:
    """Runs functions in threads: one at a time if they are quick, up to `threads` at a time if they wait.

    All decisions are made in the event loop, so nothing here needs a lock. A thread whose handler waits for a
    worker (`tecken.waiting`) does not count as running; else a few requests for cold modules would stop the
    site.
    """

    def __init__(self, threads: int, loop: AbstractEventLoop) -> None:
        self._limit = threads
        self._loop = loop
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._threads = 0
        self._busy = 0
        self._parked = 0
        self._timer = False

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what `function` returns, raise what it raises."""
        job = Job(function, arguments, self._loop.create_future(), self._loop.time())
        if self._busy - self._parked > 0:
            self._waiting.append(job)
            self._wait_for_turn()
        else:
            self._start(job)
        result: T = await job.future
        return result

    def _start(self, job: Job) -> None:
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name=f"handler-{self._threads}", daemon=True).start()
        self._jobs.put(job)

    def _start_next(self) -> None:
        """Start the job that has waited longest, if a thread may take it."""
        running = self._busy - self._parked
        if self._waiting and running < self._limit and self._busy < self._limit + PARKED:
            self._start(self._waiting.popleft())

    def _wait_for_turn(self) -> None:
        if not self._timer:
            self._timer = True
            self._loop.call_later(PATIENCE_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        self._timer = False
        if self._waiting and self._loop.time() - self._waiting[0].submitted >= PATIENCE_SECONDS:
            self._start_next()
        if self._waiting:
            self._wait_for_turn()

    def _work(self) -> None:
        waiting.set_parking(lambda change: self._loop.call_soon_threadsafe(self._park, change))
        while True:
            job = self._jobs.get()
            try:
                result, error = job.function(*job.arguments), None
            except BaseException as raised:  # noqa: BLE001 - handed to the waiting coroutine
                result, error = None, raised
            self._loop.call_soon_threadsafe(self._finish, job.future, result, error)

    def _finish(self, future: Future[Any], result: object, error: BaseException | None) -> None:
        self._busy -= 1
        if self._busy == self._parked:
            self._start_next()
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _park(self, change: int) -> None:
        self._parked += change
        if change > 0:
            self._start_next()

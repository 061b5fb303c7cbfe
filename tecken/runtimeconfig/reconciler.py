"""Thread that reconciles backend and database, and the lock that lets it finish before a fork."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from random import Random
from threading import Thread

from tecken.runtimeconfig.pace import LONGEST_PAUSE

logger = logging.getLogger(__name__)
# Seconds before the next run. After each failure it is twice as long.
RECONCILE_PAUSE = 1.0


class Reconciler:
    """Runner of `reconcile` in a thread of its own: a slow database must not delay the watcher's polls.

    `reconcile` returns whether it is done; otherwise it is called again, after longer and longer pauses.
    `confirmed`: the older version that was found in the backend and that the database agreed to.
    """

    def __init__(self, reconcile: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._reconcile = reconcile
        self._clock = clock
        self._random = Random()  # noqa: S311 - as in Pace
        self._is_requested = False
        self._found: tuple[int, str] | None = None
        self._thread: Thread | None = None
        self._run_at = math.inf
        self._paused_until = 0.0
        self._pause = RECONCILE_PAUSE
        self.confirmed: tuple[int, str] | None = None

    @property
    def due_at(self) -> float:
        """Return when to call `run`; never while nothing is requested, or a run has not ended."""
        return math.inf if self._is_running() else self._run_at

    def request(self, found: tuple[int, str] | None = None, *, within: float = 0.0) -> None:
        """Request a run at a random moment of the next `within` seconds.

        `found` is a head of the backend that the database must confirm or replace. Such a request can be
        withdrawn.
        """
        run_at = max(self._paused_until, self._clock() + within * self._random.random())
        self._run_at = min(self._run_at, run_at)
        if found:
            self._found = found
        else:
            self._is_requested = True

    def request_again(self, *, within: float = 0.0) -> None:
        """Request a run without the pause after a failure: its cause, the backend, has just answered."""
        self._paused_until, self._pause = 0.0, RECONCILE_PAUSE
        self.request(within=within)

    def withdraw(self) -> None:
        """Withdraw the request for a head, which another process has settled."""
        self._found = None
        if not self._is_requested:
            self._run_at = math.inf

    def run(self) -> None:
        """Start a run that is due, unless one is running."""
        if self._clock() < self.due_at:
            return
        self._thread = Thread(target=self._run, args=[self._found], name="reconcile", daemon=True)
        self._is_requested, self._found, self._run_at = False, None, math.inf
        self._thread.start()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self, found: tuple[int, str] | None) -> None:
        try:
            is_done = self._reconcile()
        except Exception:
            # A database may raise anything.
            logger.exception("Configuration not compared with the database; retrying")
            is_done = False
        if is_done:
            self.confirmed = found
            self._pause = RECONCILE_PAUSE
            self._paused_until = self._clock() + RECONCILE_PAUSE
        else:
            self._paused_until = self._clock() + self._pause * self._random.uniform(0.5, 1.0)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self.request()


class ForkLock:
    """Reentrant lock that is free, and whose protected work is complete, in a forked child.

    A fork copies memory but only one thread. If another thread holds a lock at that moment, the child's copy
    is never released, and everything that waits for it hangs. Work cut in half is worse: when a child closes
    its copy of a SQLite connection in the middle of the parent's transaction, commits of other processes are
    lost (https://www.sqlite.org/howtocorrupt.html, 2.6), and a PostgreSQL client ends the parent's session.
    So `before_fork` waits for the lock, for at most `seconds`: work that hangs, with a database for example,
    must not keep a server from replacing its processes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.RLock()
        self._fork = threading.local()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def before_fork(self) -> None:
        """Wait for the lock and keep it during the fork."""
        self._fork.is_locked = self._lock.acquire(timeout=self._seconds)

    def after_fork_in_parent(self) -> None:
        """Release the lock."""
        if self._fork.is_locked:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Replace the lock by a free one."""
        self._lock = threading.RLock()

"""Lock that is safe across a fork."""

from __future__ import annotations

import threading


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

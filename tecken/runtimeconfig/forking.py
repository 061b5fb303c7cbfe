"""What must not be cut in two by a fork.

A child has its parent's connections to the database, and no thread that uses them. SQLite then loses what
others have committed meanwhile, when the child gives such a connection up in the middle of a transaction
(https://www.sqlite.org/howtocorrupt.html, 2.6); PostgreSQL's client ends the parent's session.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

WAITS_SECONDS = 5.0
"""A database that hangs does not keep a site from replacing its processes."""


class Whole:
    """Its `together` and forks of this process take turns."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._forking = local()

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._lock:
            yield

    def before_fork(self) -> None:
        self._forking.waited = self._lock.acquire(timeout=WAITS_SECONDS)

    def after_fork_in_parent(self) -> None:
        if self._forking.waited:
            self._lock.release()

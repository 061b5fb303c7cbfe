"""Connection pools that a forked child may go on using."""

from __future__ import annotations

import os
from threading import RLock

import redis


class ForkSafe:
    """A pool that survives a fork while another thread of the parent uses it.

    redis-py sees in the child that the process id has changed, and then resets the pool under its lock. A
    thread that held the lock at the moment of the fork does not exist in the child, which would wait for it
    for ever.
    """

    pid: int

    def reset(self) -> None:
        """Drop all connections."""
        # redis-py sets `pid` at the end of the first reset.
        if getattr(self, "pid", os.getpid()) != os.getpid():
            self._lock = RLock()
        super().reset()  # type: ignore[misc]


class Pool(ForkSafe, redis.ConnectionPool):
    """Connections to one server."""

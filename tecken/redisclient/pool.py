"""Connection pools that a forked child can use."""

from __future__ import annotations

import os
from threading import RLock

import redis


class ForkSafe:
    """Pool that survives a fork while another thread of the parent uses it.

    In the child, redis-py notices that the process id has changed, and resets the pool under its lock. A
    thread of the parent that held the lock during the fork does not exist in the child, which would wait for
    ever. So the child gets a new lock.
    """

    pid: int

    def reset(self) -> None:
        """Drop all connections."""
        # redis-py sets `pid` at the end of the first reset, so the first one has no `pid` yet.
        if getattr(self, "pid", os.getpid()) != os.getpid():
            self._lock = RLock()
        super().reset()  # type: ignore[misc]


class Pool(ForkSafe, redis.ConnectionPool):
    """Pool of connections to one server."""

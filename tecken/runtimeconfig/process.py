"""State of the runtime configuration in a process, and the lock that makes it safe across a fork."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tecken import metrics
from tecken.runtimeconfig.backend import ConfigHead, Level, Maintenance, Values
from tecken.runtimeconfig.options import Options, find_option
from tecken.runtimeconfig.snapshot import EMPTY, Snapshot


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


logger = logging.getLogger(__name__)
FORK_SECONDS = 1.0


@dataclass
class Follower:
    """Callback for the values of one option. `value` is the last one that it got."""

    option: str
    function: Callable[[Any], None]
    value: object = object()

    def notify(self, options: Options) -> None:
        """Call the function if the value is another one. An error is logged: other followers must run."""
        value = getattr(options, self.option)
        if value == self.value:
            return
        self.value = value
        try:
            self.function(value)
        except Exception:
            logger.exception("Follower of %s failed; the new value is in force elsewhere", self.option)


class Process:
    """State that request threads read and the watcher's thread replaces.

    Readers take no lock: each attribute is replaced by one assignment, and its object never changes. The lock
    is for writers. It also covers the metrics that are counted under it, whose own locks a child of a fork
    could otherwise inherit locked.
    """

    def __init__(self) -> None:
        # None until the first poll.
        self.options: Options | None = None
        self.snapshot = EMPTY
        # Whether the backend answered the last poll.
        self.is_reachable = False
        self.lock = ForkLock(FORK_SECONDS)
        self._contact_at = time.monotonic()
        self._levels: dict[Level, Maintenance | None] = {}
        self._followers: list[Follower] = []

    @property
    def age(self) -> float:
        """Return the seconds since the last contact to the backend."""
        return time.monotonic() - self._contact_at

    def maintenance(self, level: Level) -> Maintenance | None:
        """Return the maintenance of a level; None if it is open, or the end has passed."""
        maintenance = self._levels.get(level)
        return None if maintenance is None or maintenance.is_over else maintenance

    def apply(self, values: Values, source: str, *, is_message_missed: bool = False) -> None:
        """Put a version in force. `source` is a label of the metric: message or read."""
        with self.lock:
            self._contact_at = time.monotonic()
            self.snapshot = Snapshot(*values)
            self.refresh()
            metrics.CONFIG_REFRESHES.labels(source).inc()
            metrics.CONFIG_MISSED_HINTS.inc(is_message_missed)
            metrics.CONFIG_BAD_VALUES.inc(len(self.snapshot.bad))
        # Outside the lock: a handler of logs may be slow, and a fork waits for the lock.
        for reason in self.snapshot.bad.values():
            logger.warning("Entry of version %d ignored: %s; the default is in force", values.version, reason)

    def record_poll(self, head: ConfigHead | None) -> None:
        """Record a poll. None: the backend did not answer."""
        with self.lock:
            self.is_reachable = head is not None
            if head is not None:
                self._contact_at = time.monotonic()
                self._levels = head.levels
            metrics.CONFIG_REFRESHES.labels("failed" if head is None else "look").inc()

    def refresh(self) -> None:
        """Compute the options again: windows begin and end, and values expire without the backend."""
        with self.lock:
            self.options = self.snapshot.options(datetime.now(UTC), age=self.age)
            for follower in list(self._followers):
                follower.notify(self.options)

    def follow(self, option: str, function: Callable[[Any], None]) -> None:
        """Call a function with the value of an option, now and after each change."""
        follower = Follower(find_option(option).name, function)
        with self.lock:
            self._followers.append(follower)
            self.refresh()

    def after_fork_in_child(self) -> None:
        """Keep the parent's values until the first read, which starts a watcher."""
        self.lock.after_fork_in_child()
        self.options = None
        self.is_reachable = False

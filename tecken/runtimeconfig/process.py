"""State of the runtime configuration in a process, and the lock that makes it safe across a fork."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tecken import metrics
from tecken.errors import BadOption
from tecken.runtimeconfig.backend import ConfigHead, Maintenance, Values, parse_maintenance
from tecken.runtimeconfig.options import Options, find_option
from tecken.runtimeconfig.snapshot import EMPTY, Snapshot, Subject


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
UNSET = object()


class Pin(NamedTuple):
    """Version, time and age from which the options of a request are computed."""

    snapshot: Snapshot
    now: datetime
    age: float


class Follower:
    """Callback for the values of one option."""

    def __init__(self, option: str, function: Callable[[Any], None]) -> None:
        self._option = option
        self._function = function
        self._value: object = UNSET

    def notify(self, options: Options) -> None:
        """Call the function if the value is another one. An error is logged: other followers must run."""
        value = getattr(options, self._option)
        if value == self._value:
            return
        self._value = value
        try:
            self._function(value)
        except Exception:
            logger.exception("Follower of %s failed; the new value is in force elsewhere", self._option)


class Process:
    """State that request threads read and the watcher's thread replaces.

    Readers take no lock: each attribute is replaced by one assignment, and its object never changes. The lock
    is for writers. It also covers the metrics that are counted under it, whose own locks a child of a fork
    could otherwise inherit locked.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # None until the first poll.
        self.options: Options | None = None
        self.snapshot = EMPTY
        # Whether the backend answered the last poll.
        self.is_reachable = False
        self.lock = ForkLock(FORK_SECONDS)
        self._contact_at = clock()
        self._head = ConfigHead(0, "", None, None)
        self._overrides: dict[str, Any] = {}
        self._followers: list[Follower] = []

    @property
    def age(self) -> float:
        """Return the seconds since the last contact to the backend."""
        return self._clock() - self._contact_at

    @property
    def maintenance(self) -> Maintenance | None:
        """Return the maintenance of the site."""
        text = self._head.maintenance
        return None if text is None else _parse_active(text)

    @property
    def uploads_closed(self) -> Maintenance | None:
        """Return the maintenance of uploads alone."""
        text = self._head.uploads_closed
        return None if text is None else _parse_active(text)

    def pin(self) -> Pin:
        """Return the current version, for the options of a request."""
        return Pin(self.snapshot, datetime.now(UTC), self.age)

    def options_for(self, pin: Pin, subject: Subject | None = None) -> Options:
        """Return the options of a request or job."""
        options = pin.snapshot.options(pin.now, subject, pin.age)
        return options.model_copy(update=self._overrides) if self._overrides else options

    def apply(self, values: Values, source: str) -> None:
        """Put a version in force. `source` is a label of the metric: message or read."""
        with self.lock:
            self._contact_at = self._clock()
            self.snapshot = Snapshot(*values)
            self.refresh()
            metrics.CONFIG_REFRESHES.labels(source).inc()
            metrics.CONFIG_BAD_VALUES.inc(len(self.snapshot.bad))
        # Outside the lock: a handler of logs may be slow, and a fork waits for the lock.
        for reason in self.snapshot.bad.values():
            logger.warning("Entry of version %d ignored: %s; the default is in force", values.version, reason)

    def record_head(self, head: ConfigHead) -> None:
        """Record a poll that succeeded."""
        with self.lock:
            self._contact_at = self._clock()
            self.is_reachable = True
            self._head = head
            metrics.CONFIG_REFRESHES.labels("look").inc()

    def record_failure(self) -> None:
        """Record a poll that failed."""
        with self.lock:
            self.is_reachable = False
            metrics.CONFIG_REFRESHES.labels("failed").inc()

    def record_missed_message(self) -> None:
        """Count a change whose message did not arrive."""
        with self.lock:
            metrics.CONFIG_MISSED_HINTS.inc()

    def refresh(self) -> None:
        """Compute the options again: windows begin and end, and values expire without the backend."""
        with self.lock:
            self.options = self.options_for(self.pin())
            for follower in list(self._followers):
                follower.notify(self.options)

    def follow(self, option: str, function: Callable[[Any], None]) -> None:
        """Call a function with the value of an option, now and after each change."""
        follower = Follower(find_option(option).name, function)
        with self.lock:
            self._followers.append(follower)
            self.refresh()

    @contextmanager
    def overridden(self, values: Mapping[str, object]) -> Iterator[None]:
        """Replace values for a test."""
        checked = {name: _check(name, value) for name, value in values.items()}
        with self.lock:
            before, self._overrides = self._overrides, {**self._overrides, **checked}
            self.refresh()
        try:
            yield
        finally:
            with self.lock:
                self._overrides = before
                self.refresh()

    def after_fork_in_child(self) -> None:
        """Keep the parent's values until the first read, which starts a watcher."""
        self.lock.after_fork_in_child()
        self.options = None
        self.is_reachable = False


def _check(name: str, value: object) -> Any:
    option = find_option(name)
    try:
        return option.parse(value) if isinstance(value, str) else option.adapter.validate_python(value)
    except ValueError as error:
        raise BadOption(f"{name}: {error}") from None


def _parse_active(text: str) -> Maintenance | None:
    maintenance = parse_maintenance(text)
    return None if maintenance.is_over else maintenance

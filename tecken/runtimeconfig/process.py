"""Configuration of a process: what requests read, and the daemon thread that keeps it up to date.

Messages make it fast, polling makes it reliable: even if messages are lost, a process that can reach the
backend has its newest version within one interval.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, RLock, Thread
from typing import Any

from tecken import metrics
from tecken.errors import Unavailable
from tecken.runtimeconfig.backend import ConfigHead, Hint, Level, Maintenance, Report, Values
from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backends.redis import RedisBackend
from tecken.runtimeconfig.options import Options, find_option
from tecken.runtimeconfig.pace import Pace
from tecken.runtimeconfig.reconciler import ForkLock, Reconciler
from tecken.runtimeconfig.snapshot import EMPTY, Snapshot

logger = logging.getLogger(__name__)
ConfigBackend = FileBackend | RedisBackend
FORK_SECONDS = 1.0
# Seconds. A report is valid three times as long.
REPORT_EACH = 5.0
# Intervals within which the processes compare backend and database after an outage, so that a fleet does not
# open a connection to the database for each of its processes at once.
RECONCILE_INTERVALS = 5


@dataclass
class Follower:
    """Callback for the values of one option. `value` is the last one that it got."""

    option: str
    function: Callable[[Any], None]
    value: object = None


class Process:
    """State that request threads read, and the thread that replaces it.

    Readers take no lock: each attribute is replaced by one assignment, and its object never changes. The lock
    is for writers. It also covers the metrics that are counted under it, whose own locks a child of a fork
    could otherwise inherit locked.
    """

    def __init__(self) -> None:
        self.kind = "command"
        # None until the first poll.
        self.options: Options | None = None
        self.snapshot = EMPTY
        # Whether the backend answered the last poll.
        self.is_reachable = False
        self.lock = ForkLock(FORK_SECONDS)
        self._contact_at = time.monotonic()
        self._levels: dict[Level, Maintenance | None] = {}
        self._followers: list[Follower] = []
        self._poll_lock = RLock()
        self._stopped = Event()
        self._thread: Thread | None = None
        self._next_report = 0.0
        self._may_poll_for_hint = True
        self._is_subscribed = False
        # Whether the backend refused a write.
        self._is_refused = False

    def start(
        self,
        backend: ConfigBackend,
        interval: float,
        reconcile: Callable[[], bool] = lambda: True,
        *,
        has_thread: bool = True,
    ) -> None:
        """Poll once and start the thread. A backend that does not answer leaves the values as they are."""
        self._backend, self._interval, self._reconciler = backend, interval, Reconciler(reconcile)
        self._pace = Pace(interval)
        self._stopped.clear()
        self.poll()
        if has_thread:
            self._reconciler.request()
            self._thread = Thread(target=self._run, name="runtime configuration", daemon=True)
            self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End the thread within an interval and a timeout."""
        self._stopped.set()

    def after_fork_in_child(self) -> None:
        """Keep the parent's values until the first read, which starts a thread; drop the parent's locks."""
        self.lock.after_fork_in_child()
        self._poll_lock = RLock()
        self._thread, self._stopped = None, Event()
        self._next_report = 0.0
        self._is_subscribed = False
        self.options = None
        self.is_reachable = False

    @property
    def age(self) -> float:
        """Return the seconds since the last contact to the backend."""
        return time.monotonic() - self._contact_at

    def maintenance(self, level: Level) -> Maintenance | None:
        """Return the maintenance of a level; None if it is open, or the end has passed."""
        maintenance = self._levels.get(level)
        return None if maintenance is None or maintenance.is_over else maintenance

    def follow(self, option: str, function: Callable[[Any], None]) -> None:
        """Call a function with the value of an option, now and after each change."""
        follower = Follower(find_option(option).name, function)
        with self.lock:
            self._followers.append(follower)
            self.refresh()

    def refresh(self) -> None:
        """Compute the options again: windows begin and end, and values expire without the backend."""
        with self.lock:
            self.options = self.snapshot.options(datetime.now(UTC), age=self.age)
            for follower in list(self._followers):
                value = getattr(self.options, follower.option)
                if value == follower.value:
                    continue
                follower.value = value
                try:
                    follower.function(value)
                except Exception:
                    # The other followers must run.
                    message = "Follower of %s failed; the new value is in force elsewhere"
                    logger.exception(message, follower.option)

    def poll(self) -> bool:
        """Read the head, and the values if they are new. Return False when the backend does not answer."""
        with self._poll_lock:
            try:
                head = self._backend.head()
                if not self.is_reachable:
                    self._reconciler.request_again(within=RECONCILE_INTERVALS * self._interval)
                    self._pace.reset_pause()
                    # A process that has just started subscribes at once.
                    if self.options is not None:
                        self._pace.plan_subscription()
                self._record_poll(head)
                self._follow(head)
            except Unavailable as error:
                if self.is_reachable or self.options is None:
                    reason = f"{error} ({error.__cause__})"
                    logger.warning("Configuration not polled: %s; the last one stays in force", reason)
                self._record_poll(None)
            self.refresh()
            return self.is_reachable

    def reconcile_soon(self) -> None:
        """Reconcile as soon as the backend takes writes: a change was not delivered. Safe in any thread."""
        self._is_refused = True
        self._next_report = 0.0

    def _is_new(self, version: ConfigHead | Values) -> bool:
        snapshot = self.snapshot
        return (version.version, version.stamp) != (snapshot.version, snapshot.stamp)

    def _follow(self, head: ConfigHead) -> None:
        if head.version and not head.stamp:
            # Changed by hand: the database does not have this version yet.
            self._request_for(head)
        elif head.version >= self.snapshot.version:
            self._reconciler.withdraw()
        if not self._is_new(head) or not self._may_follow(head):
            return
        values = self._backend.read()
        if values.version:
            self._reconciler.confirmed = None
            self._apply(values, "read", is_message_missed=self._is_subscribed and bool(values.stamp))
            self._report()

    def _may_follow(self, head: ConfigHead) -> bool:
        """Return whether a version may be followed: an older one only after the database confirmed it.

        A Redis that was flushed, or restored from an old replica, would otherwise bring defaults or old
        values back into every process, although the database has newer ones.
        """
        if head.version >= self.snapshot.version:
            return True
        # The reports were lost as well.
        self._next_report = 0.0
        version = head.version, head.stamp
        if head.version and self._reconciler.confirmed == version:
            return True
        self._request_for(head)
        return False

    def _request_for(self, head: ConfigHead) -> None:
        """Reconcile unless another process does so first: all of them find the same head."""
        self._reconciler.request((head.version, head.stamp), within=self._interval)

    def _handle(self, message: Values | Hint | None) -> None:
        """Apply a newer version; poll for any other message, but once between two ticks."""
        if isinstance(message, Values) and message.version > self.snapshot.version:
            self._apply(message, "message")
            self._report()
        elif message and (isinstance(message, Hint) or self._is_new(message)) and self._may_poll_for_hint:
            self._may_poll_for_hint = False
            self.poll()

    def _tick(self) -> None:
        # Set before the poll: one that fails or is slow must not be repeated at once.
        self._pace.plan_tick()
        self._may_poll_for_hint = True
        if self.poll() and time.monotonic() >= self._next_report:
            self._report()

    def _report(self) -> None:
        """Write the version in force.

        A server that answers but refuses writes (a replica, or a full one) appears healthy to every read. So
        a refused report is tried again with each poll, and the first success shows that changes which were
        only recorded can be delivered.
        """
        self._next_report = time.monotonic() + REPORT_EACH
        snapshot, age = self.snapshot, round(self.age, 3)
        report = Report(process_name(), self.kind, snapshot.version, snapshot.stamp, age, len(snapshot.bad))
        try:
            self._backend.report(report)
        except Unavailable:
            self.reconcile_soon()
            return
        if self._is_refused:
            self._is_refused = False
            self._reconciler.request_again()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._work()
                if self.is_reachable and self._pace.is_subscription_due():
                    self._listen()
                else:
                    until = self._wake_at()
                    if self.is_reachable:
                        until = min(until, self._pace.subscribe_at)
                    self._stopped.wait(until - time.monotonic())
            except Exception:
                if self._stopped.is_set():
                    return
                logger.exception("Watcher failed; it polls again in %g s", self._interval)
                self._stopped.wait(self._interval)

    def _work(self) -> None:
        if self._pace.is_tick_due():
            self._tick()
        self._reconciler.run()

    def _wake_at(self) -> float:
        return min(self._pace.tick_at, self._reconciler.due_at)

    def _listen(self) -> None:
        try:
            with self._backend.subscribe() as subscription:
                self._pace.reset_pause()
                # This poll finds a version that was written before the subscription.
                self._tick()
                self._is_subscribed = True
                while not self._stopped.is_set():
                    self._handle(subscription.next(self._wake_at() - time.monotonic()))
                    self._work()
        except Unavailable as error:
            if self._is_subscribed:
                logger.info("Subscription lost: %s; changes are found by polling", error)
            self._pace.plan_subscription()
            self._reconciler.request(within=RECONCILE_INTERVALS * self._interval)
        finally:
            self._is_subscribed = False

    def _apply(self, values: Values, source: str, *, is_message_missed: bool = False) -> None:
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

    def _record_poll(self, head: ConfigHead | None) -> None:
        """Record a poll. None: the backend did not answer."""
        with self.lock:
            self.is_reachable = head is not None
            if head is not None:
                self._contact_at = time.monotonic()
                self._levels = head.levels
            metrics.CONFIG_REFRESHES.labels("failed" if head is None else "look").inc()


def process_name() -> str:
    """Return host and process id, such as `web-1:4711`."""
    return f"{socket.gethostname()}:{os.getpid()}"

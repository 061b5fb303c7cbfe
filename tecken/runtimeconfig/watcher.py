"""Watcher: one daemon thread that keeps a process up to date with a backend.

Messages make it fast, polling makes it reliable: even if messages are lost, a process that can reach the
backend has its newest version within one interval.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from random import Random
from threading import Event, RLock, Thread

from tecken.errors import Unavailable
from tecken.runtimeconfig.backend import ConfigHead, Hint, Report, Values
from tecken.runtimeconfig.backends import ConfigBackend
from tecken.runtimeconfig.process import Process

logger = logging.getLogger(__name__)
# Seconds. A report is valid three times as long.
REPORT_EACH = 5.0
# Seconds before the next attempt to subscribe, or to reconcile. Each pause is twice as long as the last one.
FIRST_PAUSE = 0.1
RECONCILE_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class Watcher:
    """Thread that applies versions to a process, and reconciles when backend and database may differ."""

    def __init__(
        self,
        backend: ConfigBackend,
        process: Process,
        interval: float,
        reconcile: Callable[[], bool] = lambda: True,
        kind: Callable[[], str] = lambda: "command",
    ) -> None:
        self._backend = backend
        self._process = process
        self._interval = interval
        self._kind = kind
        self._reconciler = Reconciler(reconcile)
        self._poll_lock = RLock()
        # Intervals vary so that the processes of a fleet do not poll at the same moment. The generator is not
        # the shared one: a fork while this thread holds its lock would block the child's.
        self._random = Random()  # noqa: S311
        self._stopped = Event()
        self._thread: Thread | None = None
        self._next_tick = self._next_report = self._subscribe_at = 0.0
        self._pause = FIRST_PAUSE
        self._may_poll_for_hint = True
        self._is_subscribed = False
        # Whether the backend refused a write.
        self._is_refused = False

    def start(self) -> None:
        """Start the thread."""
        self._reconciler.request()
        self._thread = Thread(target=self._run, name="runtime configuration", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End the thread within an interval and a timeout."""
        self._stopped.set()

    def poll(self) -> bool:
        """Read the head, and the values if they are new. Return False when the backend does not answer."""
        with self._poll_lock:
            try:
                head = self._backend.head()
                if not self._process.is_reachable:
                    self._reconciler.request_now()
                    self._subscribe_at = 0.0
                self._process.record_poll(head)
                self._follow(head)
            except Unavailable as error:
                if self._process.is_reachable or self._process.options is None:
                    reason = f"{error} ({error.__cause__})"
                    logger.warning("Configuration not polled: %s; the last one stays in force", reason)
                self._process.record_poll(None)
            self._process.refresh()
            return self._process.is_reachable

    def reconcile_soon(self) -> None:
        """Reconcile as soon as the backend takes writes: a change was not delivered. Safe in any thread."""
        self._is_refused = True
        self._next_report = 0.0

    def _is_new(self, version: ConfigHead | Values) -> bool:
        snapshot = self._process.snapshot
        return (version.version, version.stamp) != (snapshot.version, snapshot.stamp)

    def _follow(self, head: ConfigHead) -> None:
        if head.version and not head.stamp:
            # Changed by hand: the database does not have this version yet.
            self._reconciler.request()
        if not self._is_new(head) or not self._may_follow(head):
            return
        values = self._backend.read()
        if values.version:
            self._reconciler.confirmed = None
            self._process.apply(values, "read", is_message_missed=self._is_subscribed and bool(values.stamp))
            self._report()

    def _may_follow(self, head: ConfigHead) -> bool:
        """Return whether a version may be followed: an older one only after the database confirmed it.

        A Redis that was flushed, or restored from an old replica, would otherwise bring defaults or old
        values back into every process, although the database has newer ones.
        """
        if head.version >= self._process.snapshot.version:
            return True
        # The reports were lost as well.
        self._next_report = 0.0
        version = head.version, head.stamp
        if head.version and self._reconciler.confirmed == version:
            return True
        self._reconciler.request(version)
        return False

    def _handle(self, message: Values | Hint | None) -> None:
        """Apply a newer version; poll for any other message, but once between two ticks."""
        if isinstance(message, Values) and message.version > self._process.snapshot.version:
            self._process.apply(message, "message")
            self._report()
        elif message and (isinstance(message, Hint) or self._is_new(message)) and self._may_poll_for_hint:
            self._may_poll_for_hint = False
            self.poll()

    def _tick(self) -> None:
        # Set before the poll: one that fails or is slow must not be repeated at once.
        self._next_tick = time.monotonic() + self._interval * self._random.uniform(0.8, 0.95)
        self._may_poll_for_hint = True
        is_reachable = self.poll()
        self._reconciler.run()
        if is_reachable and time.monotonic() >= self._next_report:
            self._report()

    def _report(self) -> None:
        """Write the version in force.

        A server that answers but refuses writes (a replica, or a full one) appears healthy to every read. So
        a refused report is tried again with each poll, and the first success shows that changes which were
        only recorded can be delivered.
        """
        self._next_report = time.monotonic() + REPORT_EACH
        snapshot, age = self._process.snapshot, round(self._process.age, 3)
        report = Report(
            process_name(), self._kind(), snapshot.version, snapshot.stamp, age, len(snapshot.bad)
        )
        try:
            self._backend.report(report)
        except Unavailable:
            self.reconcile_soon()
            return
        if self._is_refused:
            self._is_refused = False
            self._reconciler.request_now()
            self._reconciler.run()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if time.monotonic() >= self._next_tick:
                    self._tick()
                if self._process.is_reachable and time.monotonic() >= self._subscribe_at:
                    self._listen()
                else:
                    until = self._next_tick
                    if self._process.is_reachable:
                        until = min(until, self._subscribe_at)
                    self._stopped.wait(until - time.monotonic())
            except Exception:
                if self._stopped.is_set():
                    return
                logger.exception("Watcher failed; it polls again in %g s", self._interval)
                self._stopped.wait(self._interval)

    def _listen(self) -> None:
        try:
            with self._backend.subscribe() as subscription:
                self._pause = FIRST_PAUSE
                # This poll finds a version that was written before the subscription.
                self._tick()
                self._is_subscribed = True
                while not self._stopped.is_set():
                    self._handle(subscription.next(self._next_tick - time.monotonic()))
                    if time.monotonic() >= self._next_tick:
                        self._tick()
        except Unavailable as error:
            if self._pause == FIRST_PAUSE:
                logger.info("Subscription lost: %s; changes are found by polling", error)
            self._next_tick = 0.0
            self._subscribe_at = time.monotonic() + self._pause * self._random.uniform(0.5, 1.0)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._reconciler.request()
        finally:
            self._is_subscribed = False


class Reconciler:
    """Runner of `reconcile` in a thread of its own: a slow database must not delay the watcher's polls.

    `reconcile` returns whether it is done; otherwise it is called again, after longer and longer pauses.
    `confirmed`: the older version that was found in the backend and that the database agreed to.
    """

    def __init__(self, reconcile: Callable[[], bool]) -> None:
        self._reconcile = reconcile
        self._random = Random()  # noqa: S311 - as in Watcher
        self._is_requested = False
        self._found: tuple[int, str] | None = None
        self._thread: Thread | None = None
        self._run_at = 0.0
        self._pause = RECONCILE_PAUSE
        self.confirmed: tuple[int, str] | None = None

    def request(self, found: tuple[int, str] | None = None) -> None:
        """Request a run. `found` is an older version in the backend that the database must confirm."""
        self._is_requested = True
        self._found = found or self._found

    def request_now(self) -> None:
        """Request a run without the pause after a failure: its cause, the backend, has just answered."""
        self.request()
        self._run_at, self._pause = 0.0, RECONCILE_PAUSE

    def run(self) -> None:
        """Start a run that was requested, unless one is running or has just ended."""
        is_running = self._thread is not None and self._thread.is_alive()
        if not self._is_requested or is_running or time.monotonic() < self._run_at:
            return
        self._thread = Thread(target=self._run, args=[self._found], name="reconcile", daemon=True)
        self._is_requested, self._found = False, None
        self._thread.start()

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
            self._run_at = time.monotonic() + RECONCILE_PAUSE
        else:
            self._run_at = time.monotonic() + self._pause * self._random.uniform(0.5, 1.0)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._is_requested = True


def process_name() -> str:
    """Return host and process id, such as `web-1:4711`."""
    return f"{socket.gethostname()}:{os.getpid()}"

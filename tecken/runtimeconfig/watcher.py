"""Keeps a process up with a backend, in one daemon thread.

Messages make it quick, the look at each tick makes it certain: whatever was lost, a process that can reach
the backend has what it says within one interval.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from random import Random
from threading import Event, RLock, Thread

from tecken.errors import CouldNotAsk
from tecken.runtimeconfig.backend import ConfigBackend, ConfigHead, Hint, Report, Subscription, Values
from tecken.runtimeconfig.process import Process

logger = logging.getLogger(__name__)
REPORT_EACH = 5.0  # seconds; a report counts three times as long
FIRST_PAUSE = 0.1  # seconds before subscription again; each pause is twice as long as the one before
LONGEST_PAUSE = 30.0
RECONCILE_PAUSE = 1.0  # seconds, as above
MOST_WAITING = 1000  # messages that are heard between two looks


class Watcher:
    """`reconcile` settles what the backend and the database disagree on; it may take its time, and raise."""

    def __init__(
        self,
        backend: ConfigBackend,
        process: Process,
        interval: float,
        reconcile: Callable[[], None] = lambda: None,
        kind: Callable[[], str] = lambda: "command",
    ) -> None:
        self._backend = backend
        self._process = process
        self._interval = interval
        self._kind = kind
        self._reconciler = Reconciler(reconcile)
        self._looking = RLock()
        self._chance = Random()  # noqa: S311 - spreads processes; its own, since it is drawn from in a thread
        self._stopped = Event()
        self._thread: Thread | None = None
        self._next_tick = self._next_report = self._listen_at = 0.0
        self._pause = FIRST_PAUSE
        self._hinted = False
        self._is_refused = False  # the backend has not taken a write

    def start(self) -> None:
        self._reconciler.want()
        self._thread = Thread(target=self._run, name="runtime configuration", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """It ends within an interval and a timeout."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def look(self, subscription: Subscription | None = None) -> bool:
        """Asks the backend once, and again when there is something new. False: it did not answer.

        Raises CouldNotAsk when `subscription` is lost.
        """
        with self._looking:
            try:
                head = self._backend.head()
            except CouldNotAsk as error:
                return self._failed(error)
            self._seen(head)
            if subscription and self._differs(head) and self._hear_what_waits(subscription, head):
                return True
            try:
                self._follow(head, missed=subscription is not None)
            except CouldNotAsk as error:
                return self._failed(error)
            self._process.refresh()
            return True

    def _seen(self, head: ConfigHead) -> None:
        if not self._process.well:
            self._reconciler.want_soon()
            self._listen_at = 0.0
        self._process.seen(head)

    def _failed(self, error: CouldNotAsk) -> bool:
        if self._process.well or self._process.options is None:
            logger.warning("the last configuration stays in force: %s (%s)", error, error.__cause__)
        self._process.failed()
        self._process.refresh()
        return False

    def _differs(self, head: ConfigHead) -> bool:
        ours = self._process.snapshot
        return (head.version, head.stamp) != (ours.version, ours.stamp)

    def _follow(self, head: ConfigHead, *, missed: bool) -> None:
        if head.version and not head.stamp:
            self._reconciler.want()  # changed by hand: the database has yet to know
        if not self._differs(head):
            return
        if head.version < self._process.snapshot.version and not self._settled(head):
            return
        values = self._backend.read()
        if not values.version:
            return
        if missed and values.stamp:
            self._process.missed()
        self._reconciler.settled = None
        self._apply(values, "read")

    def _settled(self, head: ConfigHead) -> bool:
        """The backend lost something: what it still has is followed once the database agreed to it."""
        found = head.version, head.stamp
        self._next_report = 0.0  # that was lost as well
        if head.version and self._reconciler.settled == found:
            return True
        self._reconciler.want(found)
        return False

    def _apply(self, values: Values, how: str) -> None:
        self._process.apply(values, how)
        self._report()

    def _hear(self, heard: Values | Hint) -> None:
        """A message is applied when it is newer than what is in force; else the backend is asked."""
        ours = self._process.snapshot
        if isinstance(heard, Values) and (heard.version, heard.stamp) == (ours.version, ours.stamp):
            return
        if isinstance(heard, Values) and heard.version > ours.version:
            self._apply(heard, "message")
        elif not self._hinted:
            self._hinted = True  # one more look until the next tick, however many ask for it
            self.look()

    def _hear_what_waits(self, subscription: Subscription, head: ConfigHead) -> bool:
        """Messages that were sent before the answer to a look; True when they told as much, or more."""
        before = self._process.snapshot
        for _ in range(MOST_WAITING):
            heard = subscription.next(0.0)
            if heard is None:
                break
            self._hear(heard)
        return self._process.snapshot is not before and self._process.snapshot.version >= head.version

    def _tick(self, subscription: Subscription | None = None) -> bool:
        self._next_tick = time.monotonic() + self._interval * self._chance.uniform(0.8, 0.95)
        self._hinted = False
        well = self.look(subscription)
        self._reconciler.run()
        if well and time.monotonic() >= self._next_report:
            self._report()
        return well

    def settle_soon(self) -> None:
        """A change did not reach the backend: reconcile as soon as it takes writes. Safe in any thread."""
        self._is_refused = True
        self._next_report = 0.0

    def _report(self) -> None:
        """Write what this process has in force.

        A server that answers and takes no writes (a replica, full, or with a broken disk) looks healthy to
        every read. So a report that was refused is tried again with each look, and the first one that is
        taken tells that changes can be delivered which were recorded meanwhile.
        """
        self._next_report = time.monotonic() + REPORT_EACH
        ours = self._process.snapshot
        try:
            self._backend.report(
                Report(
                    process_name(),
                    self._kind(),
                    ours.version,
                    ours.stamp,
                    round(self._process.age, 3),
                    len(ours.bad),
                )
            )
        except CouldNotAsk:
            self.settle_soon()
            return
        if self._is_refused:
            self._is_refused = False
            self._reconciler.want_soon()
            self._reconciler.run()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._turn()
            except Exception:
                if self._stopped.is_set():
                    return
                logger.exception("the configuration is looked at again")
                self._stopped.wait(self._interval)

    def _turn(self) -> None:
        if time.monotonic() >= self._next_tick:
            self._tick()
        if self._process.well and time.monotonic() >= self._listen_at:
            self._listen()
        else:
            until = min(self._next_tick, self._listen_at) if self._process.well else self._next_tick
            self._stopped.wait(until - time.monotonic())

    def _listen(self) -> None:
        try:
            with self._backend.subscribe() as subscription:
                self._pause = FIRST_PAUSE
                self._tick(subscription)  # what was written before
                while not self._stopped.is_set():
                    self._next(subscription)
        except CouldNotAsk as error:
            self._lost(error)

    def _lost(self, error: CouldNotAsk) -> None:
        if self._pause == FIRST_PAUSE:
            logger.info("no longer told of changes, and so looking for them: %s", error)
        self._next_tick = 0.0
        self._listen_at = time.monotonic() + self._pause * self._chance.uniform(0.5, 1.0)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._reconciler.want()

    def _next(self, subscription: Subscription) -> None:
        heard = subscription.next(self._next_tick - time.monotonic())
        if heard is not None:
            self._hear(heard)
        if time.monotonic() >= self._next_tick:
            self._tick(subscription)


class Reconciler:
    """Runs `reconcile` when it is wanted, in a thread of its own: it may wait for a database.

    `settled`: the older version that was found, and that the database agreed to.
    """

    def __init__(self, reconcile: Callable[[], None]) -> None:
        self._reconcile = reconcile
        self._chance = Random()  # noqa: S311 - as above
        self._wanted = False
        self._found: tuple[int, str] | None = None
        self._thread: Thread | None = None
        self._at = 0.0
        self._pause = RECONCILE_PAUSE
        self.settled: tuple[int, str] | None = None

    def want(self, found: tuple[int, str] | None = None) -> None:
        self._wanted = True
        self._found = found or self._found

    def want_soon(self) -> None:
        """What failed before failed for want of the backend, which has just answered."""
        self.want()
        self._at, self._pause = 0.0, RECONCILE_PAUSE

    def run(self) -> None:
        """Unless it runs, or has just run."""
        busy = self._thread is not None and self._thread.is_alive()
        if not self._wanted or busy or time.monotonic() < self._at:
            return
        self._wanted = False
        self._thread = Thread(target=self._run, args=[self._found], name="reconcile", daemon=True)
        self._found = None
        self._thread.start()

    def _run(self, found: tuple[int, str] | None) -> None:
        try:
            self._reconcile()
        except Exception as error:  # noqa: BLE001 - whatever a database raises; it is tried again
            if self._pause == RECONCILE_PAUSE:
                logger.warning("the configuration was not compared with the database: %s", error)
            self._at = time.monotonic() + self._pause * self._chance.uniform(0.5, 1.0)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._wanted = True
        else:
            self.settled = found
            self._pause = RECONCILE_PAUSE
            self._at = time.monotonic() + RECONCILE_PAUSE


def process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"

"""Probes of the parts of a site, run side by side within one deadline.

Each probe has a thread of its own and is never run twice at a time. A probe that hangs therefore occupies its
own thread only, and no other probe waits for it. The thread lives on between runs, since Django's database
connections belong to a thread.

The threads are daemons. Those of a `ThreadPoolExecutor` are joined when the interpreter ends, so that a probe
which hangs, for example on a file system that does not respond, would keep the process from ending.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, NamedTuple

from django.db import connections

from tecken.errors import TeckenError

FRESH_SECONDS = 1.0
"""Age up to which results are used without running the probes."""
USABLE_SECONDS = 2.0
"""Age up to which results are used while another thread runs the probes."""
LATE = "does not answer in time"

Clock = Callable[[], float]


class Probe(NamedTuple):
    """Test of one part of the site.

    `run` returns the value of a part that works, and raises any exception for one that does not. A part that
    works is tested every `every` seconds; one that does not, at each refresh. While a run is late, the result
    before it stands in for `grace` seconds more.
    """

    name: str
    run: Callable[[], Any]
    every: float = FRESH_SECONDS
    grace: float = 0.0


class ProbeResult(NamedTuple):
    """Outcome of one run. `why` is the reason of a failure, without secrets; `at` is when the run began."""

    value: Any
    why: str
    at: float

    @property
    def is_well(self) -> bool:
        """Return whether the part works."""
        return not self.why


NO_RESULT = ProbeResult(None, LATE, float("-inf"))
Requests = SimpleQueue[Future[ProbeResult] | None]


class _ProbeThread:
    """Thread of one probe, its run in progress and its latest result. The thread ends with this object."""

    def __init__(self, probe: Probe, clock: Clock) -> None:
        self._probe, self._clock = probe, clock
        self._latest = NO_RESULT
        self._running: Future[ProbeResult] | None = None
        self._requests: Requests = SimpleQueue()
        weakref.finalize(self, self._requests.put, None)
        # The thread has no reference to this object, which could otherwise never be collected.
        arguments = (probe.run, self._requests, clock)
        threading.Thread(target=_serve, args=arguments, name=f"health: {probe.name}", daemon=True).start()

    def start(self) -> Iterator[Future[ProbeResult]]:
        """Start a run unless one is in progress or the latest result suffices; yield the run in progress."""
        self._collect()
        if self._running is None and not (self._latest.is_well and self._is_younger(self._probe.every)):
            self._running = Future()
            self._requests.put(self._running)
        if self._running:
            yield self._running

    def result(self) -> ProbeResult:
        """Return the latest result, or the stand-in for a run that is late."""
        self._collect()
        if self._running is None or self._is_younger(self._probe.every + self._probe.grace):
            return self._latest
        return ProbeResult(None, LATE, self._clock())

    def _collect(self) -> None:
        if self._running and self._running.done():
            self._latest, self._running = self._running.result(), None

    def _is_younger(self, seconds: float) -> bool:
        return self._clock() - self._latest.at < seconds


class ProbeRunner:
    """Probes of a process and their latest results. `deadline` is in seconds."""

    def __init__(self, probes: Sequence[Probe], deadline: float, clock: Clock = time.monotonic) -> None:
        self._deadline, self._clock = deadline, clock
        self._threads = {probe.name: _ProbeThread(probe, clock) for probe in probes}
        self._results: Mapping[str, ProbeResult] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = threading.Lock()

    def results(self) -> Mapping[str, ProbeResult]:
        """Return the results of all probes by name, within the deadline; nothing is raised.

        One thread at a time runs the probes. The others use the previous results while these are usable, and
        wait otherwise: however many requests there are, each server is probed once a second.
        """
        if self._age() >= FRESH_SECONDS and self._refreshing.acquire(blocking=self._age() >= USABLE_SECONDS):
            try:
                # Another thread may have run them while this one waited for the lock.
                if self._age() >= FRESH_SECONDS:
                    self._refresh()
            finally:
                self._refreshing.release()
        return self._results

    def _refresh(self) -> None:
        # This returns at the deadline, even if a run has not ended; `result` has a stand-in for it then.
        wait([run for thread in self._threads.values() for run in thread.start()], self._deadline)
        self._results = {name: thread.result() for name, thread in self._threads.items()}
        self._refreshed_at = self._clock()

    def _age(self) -> float:
        return self._clock() - self._refreshed_at


def _serve(run: Callable[[], Any], requests: Requests, clock: Clock) -> None:
    while (request := requests.get()) is not None:
        request.set_result(_run(run, clock()))
        # The request would otherwise keep the result until the next one arrives.
        del request
    connections.close_all()


def _run(run: Callable[[], Any], at: float) -> ProbeResult:
    try:
        return ProbeResult(run(), "", at)
    except TeckenError as error:
        return ProbeResult(None, str(error), at)
    except Exception as error:  # noqa: BLE001 - any failure means that the part does not work
        # Only the name: the text may quote a command, and with it a password.
        return ProbeResult(None, type(error).__name__, at)

"""Usage: counted in each process, and sent to redis-cache each second.

    symbolicationcount:v5:20261121    requests
    usage:20261121                    a hash, <what>:<unit>:<token, or nothing> -> number

A batch has a name and is sent until it is acknowledged. The server ignores a name that it has seen, so a lost
answer counts nothing twice. A process that is killed loses its unsent counts, those of a second at most. Days
are in UTC.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol
from uuid import uuid4

import redis

from tecken.errors import Unavailable
from tecken.limits.port import Cost
from tecken.redisclient.guard import RedisGuard

logger = logging.getLogger(__name__)
ADD = (Path(__file__).parent / "add.lua").read_text()
DAY = "usage:"
VERSION = "symbolicationcount:"
BATCH = "limits:batch:"
PROCESSES = "limits:processes"
SECONDS = 1.0
# A process that has sent no batch for longer does not count in the shares of a limit.
GONE_SECONDS = 15
DAY_SECONDS = REMEMBERED_SECONDS = 86_400

Field = tuple[str, str]
"""Key, and the field in it; the field of a plain number is empty."""


class Ledger(Protocol):
    """Place where batches of counts are added up."""

    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:
        """Add a batch once, and return how many processes have sent one lately. Raise Unavailable.

        The last batches of a process are sent even if the server has just failed to answer.
        """


class RedisLedger:
    """Counts on redis-cache. `decides` is False in a process that decides no limits."""

    def __init__(self, client: redis.Redis, guard: RedisGuard, *, decides: bool = True) -> None:
        self._guard = guard
        self._script = client.register_script(ADD)
        self._process = f"{socket.gethostname()}:{os.getpid()}" if decides else ""

    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:
        """Add a batch once, and return the number of processes. Raises Unavailable."""
        keys = [BATCH + batch, PROCESSES, *(key for key, _ in counts)]
        words: list[str | int] = [self._process, GONE_SECONDS, REMEMBERED_SECONDS]
        for (_, field), number in counts.items():
            words += [field, number]
        with self._guard.guarded(admit=not is_last):
            return int(self._script(keys, words))


class MemoryLedger:
    """Counts in memory, for tests."""

    def __init__(self) -> None:
        self.counts: Counter[Field] = Counter()
        self._batches: set[str] = set()

    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:  # noqa: ARG002
        """Add a batch once, and return 1."""
        if batch not in self._batches:
            self.counts.update(counts)
        self._batches = {batch}
        return 1


# Counters with unsent counts. The thread that sends holds a weak reference only, so a counter that is dropped
# with unsent counts would be collected and its counts lost. It stays in this set until they are sent.
_busy: set[UsageCounter] = set()


class UsageCounter:
    """Counts of this process. `processes` is the last known number of processes that send counts."""

    processes = 1

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = Lock()
        # Flushes run one after the other. A second flush would send the same batch, or replace one that is
        # not acknowledged yet. It is apart from `_lock`, so that requests do not wait for the network.
        self._flush_lock = Lock()
        self._counts: Counter[Field] = Counter()
        self._unsent: tuple[str, Counter[Field]] | None = None

    def count(self, what: str, cost: Cost, token: int | None = None) -> None:
        """Count the cost of a request, in memory."""
        key = f"{DAY}{self._today()}"
        owner = "" if token is None else str(token)
        with self._lock:
            _busy.add(self)
            for unit, amount in zip(Cost._fields, cost, strict=True):
                if amount:
                    self._counts[key, f"{what}:{unit}:{owner}"] += amount

    def count_version(self, version: str) -> None:
        """Count a symbolication request of a version of the API, in memory."""
        key = f"{VERSION}{version}:{self._today()}"
        with self._lock:
            _busy.add(self)
            self._counts[key, ""] += 1

    def flush(self, *, is_last: bool = False) -> None:
        """Send one batch in one round trip. Raises nothing; a batch that failed is sent again."""
        with self._flush_lock:
            try:
                self.processes = self._ledger.add(*self._next_batch(), is_last=is_last)
            except Unavailable as error:
                logger.debug("Cannot send usage: %s; it is sent again", error)
            else:
                self._unsent = None
                self._release_if_empty()

    def _release_if_empty(self) -> None:
        with self._lock:
            if not self._counts:
                _busy.discard(self)

    def _next_batch(self) -> tuple[str, Counter[Field]]:
        """Return the batch that is not acknowledged yet, else a new one."""
        if self._unsent is None:
            with self._lock:
                counts, self._counts = self._counts, Counter()
            self._unsent = uuid4().hex, counts
        return self._unsent

    def _today(self) -> str:
        return _date(int(self._clock()) // DAY_SECONDS)


@lru_cache(maxsize=2)
def _date(day: int) -> str:
    """Return the date of a day since the epoch."""
    return time.strftime("%Y%m%d", time.gmtime(day * DAY_SECONDS))


class Flushed(Protocol):
    """Counter in memory whose counts have to be sent."""

    def flush(self, *, is_last: bool = False) -> None:
        """Send the counts. Raises nothing."""


def start_sender(counts: Flushed, seconds: float = SECONDS) -> Thread:
    """Send the counts regularly and at exit, in a daemon thread that ends with `counts`."""
    # A strong reference would keep the counter alive for ever, and with it this thread.
    counter = weakref.ref(counts)
    pause = Event()

    def run() -> None:
        while not pause.wait(seconds):
            if (alive := counter()) is None:
                return
            alive.flush()
            del alive

    def send_rest() -> None:
        if alive := counter():
            # The batch that was not acknowledged, then the counts since.
            alive.flush(is_last=True)
            alive.flush(is_last=True)

    # Unlike atexit, a finalizer of multiprocessing runs in forked processes as well.
    Finalize(None, send_rest, exitpriority=0)
    thread = Thread(target=run, name="usage", daemon=True)
    thread.start()
    return thread

"""What was used: counted in this process, and sent to redis-cache each second.

    symbolicationcount:v5:20261121    requests
    usage:20261121                    a hash, <what>:<unit>:<token, or nothing> -> number

A batch has a name and is sent until it is acknowledged, so an answer that was lost counts nothing twice. A
process that is killed takes along what it had not sent, a second's at most. Days are those of UTC.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol
from uuid import uuid4

import redis

from tecken.errors import CouldNotAsk
from tecken.limits.port import Cost
from tecken.redisclient.guard import RedisGuard

logger = logging.getLogger(__name__)
ADD = (Path(__file__).parent / "add.lua").read_text()
DAY = "usage:"
VERSION = "symbolicationcount:"
BATCH = "limits:batch:"
PROCESSES = "limits:processes"
SECONDS = 1.0
GONE_SECONDS = 15
REMEMBERED_SECONDS = 86_400

Field = tuple[str, str]
"""A key, and a field where that is a hash."""


class Ledger(Protocol):
    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:
        """Add a batch, once, and return how many processes did so lately. Raise CouldNotAsk.

        The last batches of a process are tried even when the server has just failed to answer.
        """


class RedisLedger:
    def __init__(self, client: redis.Redis, guard: RedisGuard) -> None:
        self._guard = guard
        self._script = client.register_script(ADD)
        self._process = f"{socket.gethostname()}:{os.getpid()}"

    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:
        keys = [BATCH + batch, PROCESSES, *(key for key, _ in counts)]
        words: list[str | int] = [self._process, GONE_SECONDS, REMEMBERED_SECONDS]
        for (_, field), number in counts.items():
            words += [field, number]
        with self._guard.guarded(admit=not is_last):
            return int(self._script(keys, words))


class MemoryLedger:
    """The same in memory, for tests."""

    def __init__(self) -> None:
        self.counts: Counter[Field] = Counter()
        self._batches: set[str] = set()

    def add(self, batch: str, counts: Mapping[Field, int], *, is_last: bool = False) -> int:  # noqa: ARG002
        if batch not in self._batches:
            self.counts.update(counts)
        self._batches = {batch}
        return 1


_busy: set[UsageCounter] = set()
"""With something to send: each lives until that is done, whoever forgets it."""


class UsageCounter:
    """`processes`: how many count, as far as one knows."""

    processes = 1

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = Lock()
        self._turn = Lock()
        self._counts: Counter[Field] = Counter()
        self._unsent: tuple[str, Counter[Field]] | None = None

    def count(self, what: str, cost: Cost, token: int | None = None) -> None:
        """In memory only."""
        key = f"{DAY}{self._today()}"
        whose = "" if token is None else str(token)
        with self._lock:
            _busy.add(self)
            for unit, amount in cost._asdict().items():
                if amount:
                    self._counts[key, f"{what}:{unit}:{whose}"] += amount

    def count_version(self, version: str) -> None:
        key = f"{VERSION}{version}:{self._today()}"
        with self._lock:
            _busy.add(self)
            self._counts[key, ""] += 1

    def flush(self, *, is_last: bool = False) -> None:
        """Send one batch in one round trip. Raises nothing; a batch that failed is sent again next time."""
        with self._turn:
            try:
                self.processes = self._ledger.add(*self._next(), is_last=is_last)
            except CouldNotAsk as error:
                logger.debug("usage is sent later: %s", error)
            else:
                self._unsent = None
                self._rest()

    def _rest(self) -> None:
        with self._lock:
            if not self._counts:
                _busy.discard(self)

    def _next(self) -> tuple[str, Counter[Field]]:
        """The batch that is not acknowledged yet, else a new one."""
        if self._unsent is None:
            with self._lock:
                counts, self._counts = self._counts, Counter()
            self._unsent = uuid4().hex, counts
        return self._unsent

    def _today(self) -> str:
        return time.strftime("%Y%m%d", time.gmtime(self._clock()))


def start_sender(usage: UsageCounter, seconds: float = SECONDS) -> Thread:
    """Each so many seconds and at exit, in a daemon thread that ends when `usage` is gone."""
    one = weakref.ref(usage)
    pause = Event()

    def run() -> None:
        while not pause.wait(seconds):
            if (still := one()) is None:
                return
            still.flush()
            del still

    def last() -> None:
        if still := one():
            # The batch that was not acknowledged, then what was counted since.
            still.flush(is_last=True)
            still.flush(is_last=True)

    Finalize(None, last, exitpriority=0)  # unlike atexit it runs in a forked process, too
    thread = Thread(target=run, name="usage", daemon=True)
    thread.start()
    return thread

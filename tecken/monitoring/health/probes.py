"""Asks several things side by side, each within one deadline, and never twice at a time.

Each has a thread of its own that lives on between looks, so that one that hangs holds up nothing else and no
new threads pile up behind it. What was seen counts for a second, and one caller at a time looks again.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple

from django.db import connections

from tecken.errors import TeckenError

COUNTS_SECONDS = 1.0
AT_MOST_SECONDS = 2.0
"""While somebody looks, others have what was seen before, if it is younger."""


class Check(NamedTuple):
    """`ask` returns anything, or raises anything when it is not well. It is asked every `every` seconds, and
    at each look while it is not well; when it is late, its answer before stands in for `stands` seconds more.
    """

    name: str
    ask: Callable[[], Any]
    every: float = COUNTS_SECONDS
    stands: float = 0.0


class Answer(NamedTuple):
    """`why` is empty when all is well, and has no secret in it. `at`: when it was asked, of the clock."""

    value: Any
    why: str
    at: float

    @property
    def well(self) -> bool:
        return not self.why


Wanted = SimpleQueue[Future[Answer] | None]


class Probe:
    """One check and its thread, which ends when the probe is gone."""

    def __init__(self, check: Check, clock: Callable[[], float]) -> None:
        self._check, self._clock = check, clock
        self._last: Answer | None = None
        self._asked: Future[Answer] | None = None
        self._wanted: Wanted = SimpleQueue()
        weakref.finalize(self, self._wanted.put, None)
        thread = threading.Thread(target=_serve, args=[check.ask, self._wanted, clock], daemon=True)
        thread.name = f"health: {check.name}"
        thread.start()

    def begin(self) -> None:
        """Asks, unless that goes on already or was done lately."""
        self._take()
        last = self._last
        known = last is not None and last.well and self._younger(last, self._check.every)
        if self._asked is None and not known:
            self._asked = Future()
            self._wanted.put(self._asked)

    def answer(self, deadline: float) -> Answer:
        """What is known at `deadline`, of the clock."""
        if self._asked is not None:
            try:
                self._asked.result(max(0.0, deadline - self._clock()))
            except TimeoutError:
                return self._instead()
        self._take()
        assert self._last is not None
        return self._last

    def _take(self) -> None:
        if self._asked is not None and self._asked.done():
            self._last, self._asked = self._asked.result(), None

    def _instead(self) -> Answer:
        last = self._last
        if last is not None and self._younger(last, self._check.every + self._check.stands):
            return last
        return Answer(None, "does not answer in time", self._clock())

    def _younger(self, answer: Answer, seconds: float) -> bool:
        return self._clock() - answer.at < seconds


class Seen(NamedTuple):
    answers: Mapping[str, Answer]
    at: float


class Looks:
    """`deadline` is in seconds."""

    def __init__(
        self, checks: Sequence[Check], deadline: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._deadline, self._clock = deadline, clock
        self._probes = {check.name: Probe(check, clock) for check in checks}
        self._seen = Seen({}, float("-inf"))
        self._looking = threading.Lock()

    def now(self) -> Mapping[str, Answer]:
        """Raises nothing, and takes no longer than the deadline."""
        if self._age() < COUNTS_SECONDS:
            return self._seen.answers
        if not self._looking.acquire(blocking=self._age() >= AT_MOST_SECONDS):
            return self._seen.answers
        try:
            if self._age() >= COUNTS_SECONDS:  # nobody has looked while we waited
                self._seen = self._look()
        finally:
            self._looking.release()
        return self._seen.answers

    def _look(self) -> Seen:
        deadline = self._clock() + self._deadline
        for probe in self._probes.values():
            probe.begin()
        answers = {name: probe.answer(deadline) for name, probe in self._probes.items()}
        return Seen(answers, self._clock())

    def _age(self) -> float:
        return self._clock() - self._seen.at


def _serve(ask: Callable[[], Any], wanted: Wanted, clock: Callable[[], float]) -> None:
    while (asked := wanted.get()) is not None:
        asked.set_result(_answer(ask, clock()))
        del asked
    connections.close_all()


def _answer(ask: Callable[[], Any], at: float) -> Answer:
    try:
        return Answer(ask(), "", at)
    except TeckenError as error:
        return Answer(None, str(error), at)
    except Exception as error:  # noqa: BLE001 - whatever it is, that part is not well
        return Answer(None, type(error).__name__, at)  # its text may quote a command, and with it a password

"""Cold modules: have a worker convert them and wait, or convert them here."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from tecken.errors import CouldNotAsk, Pending
from tecken.store.port import Missing
from tecken.symbolication.conversion.status import Board, Places, Ready, State
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header

FIRST_PAUSE = 0.02  # seconds between two polls; each pause is half as long again as the one before
LONGEST_PAUSE = 0.25
RETRY_AFTER = 5.0
MAX_ATTEMPTS = 3

# Modules that one poll looks at: enough to keep a client's places taken, and few enough that a request with
# many modules costs the server no more per poll than a usual one.
POLLED = 128

Answers = dict[ObjectId, Missing | CouldNotAsk]


class Send(Protocol):
    def __call__(self, modules: Sequence[ObjectId], *, first: bool) -> None:
        """Put a job for each of them into the queue; with `first` the first one precedes all others."""
        ...


def _nothing_known(_modules: Sequence[ObjectId]) -> Mapping[ObjectId, Missing]:
    return {}


@dataclass
class _Wait:
    """One request's modules that have no answer yet, in its order, and the answers of the others."""

    states: dict[ObjectId, State]
    answers: Answers
    client: str
    has_asked: bool = False


class CeleryCold:
    """Client of the workers: has them make page files, and polls the board for the answers.

    `send` puts the jobs of several modules into the queue in one round trip and raises CouldNotAsk. `places`
    is how many modules of one client workers may have at a time, `absent` what needs no job to be absent.

    Only the first of all requests that wait for a module sends a job; when the trace of a job is lost, the
    next poll finds the module idle and asks again.

    The queue is served in its order, so one request with hundreds of modules would delay every module that
    others ask for after it. Therefore a client's modules wait here, not in the queue, for free places.
    Half of the places are for the first module of a request, whose job precedes all others: so small requests
    do not wait for a large one, not even for one of the same client.
    """

    def __init__(
        self,
        board: Board,
        send: Send,
        places: Callable[[], int],
        absent: Callable[[Sequence[ObjectId]], Mapping[ObjectId, Missing]] = _nothing_known,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._board = board
        self._send = send
        self._places = places
        self._absent = absent
        self._clock = clock
        self._sleep = sleep

    def bring(self, modules: Sequence[ObjectId], deadline: float, client: str = "") -> Answers:
        answers: Answers = {**self._absent(modules)}
        wait = _Wait({module: "idle" for module in modules if module not in answers}, answers, client)
        pause = FIRST_PAUSE
        try:
            while True:
                before = len(wait.states)
                self._look(wait)
                left = deadline - self._clock()
                if not wait.states or left <= 0:
                    break
                pause = FIRST_PAUSE if len(wait.states) < before else min(pause * 1.5, LONGEST_PAUSE)
                self._sleep(min(left, pause * random.uniform(0.8, 1.2)))  # noqa: S311 - spreads polls
        except CouldNotAsk as error:
            return answers | dict.fromkeys(wait.states, error)
        return answers | {module: _pending(module, state) for module, state in wait.states.items()}

    def _look(self, wait: _Wait) -> None:
        """Move answered modules from states to answers, and ask for idle ones."""
        modules = tuple(islice(wait.states, POLLED))
        if not modules:
            return
        for module, state in zip(modules, self._board.look(modules), strict=True):
            wait.states[module] = state
            if isinstance(state, (Ready, Missing)):
                del wait.states[module]
            if isinstance(state, Missing):
                wait.answers[module] = state
        idle = [module for module in modules if wait.states.get(module) == "idle"]
        if idle:
            self._ask(idle, wait)

    def _ask(self, modules: Sequence[ObjectId], wait: _Wait) -> None:
        first = self._places()
        most = max(1, first // 2)
        places = Places(most, most if wait.has_asked else first)
        fresh = self._board.ask(modules, wait.client, places)
        if not fresh:
            return
        try:
            self._send(fresh, first=not wait.has_asked)
        except CouldNotAsk:
            self._board.withdraw(fresh)
            raise
        wait.states |= dict.fromkeys(fresh, "asked")
        wait.has_asked = True


def _pending(module: ObjectId, state: State) -> Pending:
    why = {
        "started": "conversion is going on",
        "asked": "no worker has taken it up yet",
    }.get(str(state), "workers are busy with other modules of the same client")
    return Pending(f"{module}: {why}", RETRY_AFTER)


class Prepares(Protocol):
    def prepare(self, module: ObjectId) -> Header | Missing: ...

    def give_up(self, module: ObjectId, reason: str) -> Missing:
        """Remember the module as malformed."""
        ...


class InlineCold:
    """Converts in the caller's process, one module after the other; past `deadline` none is begun."""

    def __init__(self, preparer: Prepares, clock: Callable[[], float] = time.monotonic) -> None:
        self._preparer = preparer
        self._clock = clock

    def bring(self, modules: Sequence[ObjectId], deadline: float, client: str = "") -> Answers:  # noqa: ARG002
        found = {module: self._one(module, deadline) for module in modules}
        return {module: answer for module, answer in found.items() if not isinstance(answer, Header)}

    def _one(self, module: ObjectId, deadline: float) -> Header | Missing | CouldNotAsk:
        if self._clock() >= deadline:
            return Pending(f"{module}: no time was left to convert it", RETRY_AFTER)
        try:
            return self._preparer.prepare(module)
        except CouldNotAsk as error:
            return error


class Worker:
    """The other side of CeleryCold. A task may run twice, and may end with its process.

    Such an end leaves its attempt counted. After MAX_ATTEMPTS of them the module is remembered as malformed,
    else every request for it would kill another worker.
    """

    def __init__(self, board: Board, preparer: Prepares) -> None:
        self._board = board
        self._preparer = preparer

    def work(self, module: ObjectId) -> Header | Missing:
        attempt = self._board.begin(module)
        if attempt > MAX_ATTEMPTS:
            reason = f"conversion failed {MAX_ATTEMPTS} times"
            given_up = self._preparer.give_up(module, reason)
            self._board.finish(module, given_up, ended=True)
            return given_up
        try:
            made = self._preparer.prepare(module)
        except CouldNotAsk as error:
            made = Missing("unreachable", str(error))
        except Exception as error:
            failed = Missing("unreachable", f"conversion failed: {type(error).__name__}")
            self._board.finish(module, failed, ended=False)
            raise
        self._board.finish(module, made if isinstance(made, Missing) else Ready(), ended=True)
        return made

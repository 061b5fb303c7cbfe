"""Cold modules: have a worker convert them and wait, or convert them here."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tecken.errors import CouldNotAsk, Pending
from tecken.modules.board import Board, Ready, State
from tecken.store.port import Missing
from tecken.symbols.ids import ModuleKey
from tecken.symbols.pagefile import Header

FIRST_PAUSE = 0.02  # seconds between two polls; each pause is half as long again as the one before
LONGEST_PAUSE = 0.25
RETRY_AFTER = 5.0
MAX_ATTEMPTS = 3

Answers = dict[ModuleKey, Missing | CouldNotAsk]


class CeleryCold:
    """Asks a worker and polls the board. `send` puts one task into the queue and raises CouldNotAsk.

    Only the first of all requests that wait for a module sends a task; when the trace of a task is lost, the
    next poll finds the module idle and asks again.
    """

    def __init__(
        self,
        board: Board,
        send: Callable[[ModuleKey], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._board = board
        self._send = send
        self._clock = clock
        self._sleep = sleep

    def bring(self, modules: Sequence[ModuleKey], deadline: float) -> Answers:
        answers: Answers = {}
        waiting: dict[ModuleKey, State] = dict.fromkeys(modules, "idle")
        pause = FIRST_PAUSE
        try:
            while waiting and self._look(waiting, answers) and (left := deadline - self._clock()) > 0:
                self._sleep(min(left, pause * random.uniform(0.8, 1.2)))  # noqa: S311 - spreads polls
                pause = min(pause * 1.5, LONGEST_PAUSE)
        except CouldNotAsk as error:
            return answers | dict.fromkeys(waiting, error)
        return answers | {module: _pending(module, state) for module, state in waiting.items()}

    def _look(self, waiting: dict[ModuleKey, State], answers: Answers) -> bool:
        """Moves answered modules from `waiting` to `answers`; whether some are still waited for."""
        for module, state in zip(tuple(waiting), self._board.look(tuple(waiting)), strict=True):
            waiting[module] = state
            if isinstance(state, (Ready, Missing)):
                del waiting[module]
            if isinstance(state, Missing):
                answers[module] = state
        self._ask([module for module, state in waiting.items() if state == "idle"])
        return bool(waiting)

    def _ask(self, modules: Sequence[ModuleKey]) -> None:
        fresh = self._board.ask(modules) if modules else []
        for i, module in enumerate(fresh):
            try:
                self._send(module)
            except CouldNotAsk:
                self._board.withdraw(fresh[i:])
                raise


def _pending(module: ModuleKey, state: State) -> Pending:
    why = "conversion is going on" if state == "started" else "no worker has taken it up yet"
    return Pending(f"{module}: {why}", RETRY_AFTER)


class Prepares(Protocol):
    def prepare(self, module: ModuleKey) -> Header | Missing: ...

    def give_up(self, module: ModuleKey, reason: str) -> Missing:
        """Remember the module as malformed."""
        ...


class InlineCold:
    """Converts in the caller's process, one module after the other; past `deadline` none is begun."""

    def __init__(self, preparer: Prepares, clock: Callable[[], float] = time.monotonic) -> None:
        self._preparer = preparer
        self._clock = clock

    def bring(self, modules: Sequence[ModuleKey], deadline: float) -> Answers:
        found = {module: self._one(module, deadline) for module in modules}
        return {module: answer for module, answer in found.items() if not isinstance(answer, Header)}

    def _one(self, module: ModuleKey, deadline: float) -> Header | Missing | CouldNotAsk:
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

    def work(self, module: ModuleKey) -> Header | Missing:
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

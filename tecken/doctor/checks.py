"""Checks that run side by side: each in a thread, within a deadline, and after those that it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Literal, NamedTuple

from django.db import connections

from tecken.errors import TeckenError

Level = Literal["ok", "warning", "failed", "skipped"]
SECONDS = 10.0
THREAD_PREFIX = "doctor: "


class CheckFinding(NamedTuple):
    """Outcome of a check: a sentence, and the next step. A `transient` failure may pass by itself."""

    level: Level
    text: str
    next: str = ""
    transient: bool = False


def ok(text: str) -> CheckFinding:
    """Return the finding of a part that works."""
    return CheckFinding("ok", text)


def warning(text: str, next: str) -> CheckFinding:
    """Return the finding of a part that works, but not as it should."""
    return CheckFinding("warning", text, next)


def failed(text: str, next: str, *, transient: bool = False) -> CheckFinding:
    """Return the finding of a part that does not work."""
    return CheckFinding("failed", text, next, transient)


def skipped(text: str, next: str = "") -> CheckFinding:
    """Return the finding of a check that cannot be made."""
    return CheckFinding("skipped", text, next)


class CheckEnded(Exception):
    """Error that ends a check; it carries the finding."""

    def __init__(self, finding: CheckFinding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class Check(NamedTuple):
    """Check of one part. It does not run when one of `needs` has failed or was not made for that reason."""

    id: str
    run: Callable[[], CheckFinding]
    needs: tuple[str, ...] = ()
    seconds: float = SECONDS


class CheckResult(NamedTuple):
    """CheckFinding of a check. `is_blocked`: it was not made, because a check that it needs has failed."""

    check: Check
    finding: CheckFinding
    seconds: float
    is_blocked: bool = False

    @property
    def is_usable(self) -> bool:
        """Return whether checks that need this one can run."""
        return self.finding.level != "failed" and not self.is_blocked


class _Run:
    """Run of one check in a thread of its own, which ends with the process."""

    def __init__(self, check: Check, results: SimpleQueue[CheckResult]) -> None:
        self.check = check
        self.started_at = time.monotonic()
        self._results = results
        threading.Thread(target=self._work, name=f"{THREAD_PREFIX}{check.id}", daemon=True).start()

    @property
    def due_at(self) -> float:
        """Return when the check has to be over."""
        return self.started_at + self.check.seconds

    def late(self) -> CheckResult:
        """Return the result of a check that is not over in time."""
        text = f"There is no answer within {self.check.seconds:.0f} seconds."
        step = "Look for a server that is overloaded, or a firewall that drops packets."
        return CheckResult(self.check, failed(text, step, transient=True), self.check.seconds)

    def _work(self) -> None:
        try:
            finding = self.check.run()
        except CheckEnded as end:
            finding = end.finding
        except TeckenError as error:
            finding = failed(f"{error}.", "Look into the log of the site.", transient=True)
        except Exception as error:  # noqa: BLE001 - a check that fails must not end the others
            # Only the name: the text may quote a command, and with it a password.
            finding = failed(f"The check failed: {type(error).__name__}.", "Look into the log of the site.")
        finally:
            # Django's connections belong to this thread.
            connections.close_all()
        self._results.put(CheckResult(self.check, finding, time.monotonic() - self.started_at))


def run_checks(checks: Sequence[Check], skip: Collection[str] = ()) -> Iterator[CheckResult]:
    """Yield the result of each check as soon as it is known.

    A check starts when all that it needs are over. One that is late counts as failed; its thread may go on.
    """
    results: SimpleQueue[CheckResult] = SimpleQueue()
    waiting = {check.id: check for check in checks if check.id not in skip}
    running: dict[str, _Run] = {}
    usable = {check.id: True for check in checks if check.id in skip}
    for check in checks:
        if check.id in skip:
            yield CheckResult(check, skipped("Left out, as requested."), 0.0)
    while waiting or running:
        for result in list(_find_blocked(waiting, usable)):
            del waiting[result.check.id]
            usable[result.check.id] = False
            yield result
        for check in [check for check in waiting.values() if all(map(usable.get, check.needs))]:
            running[check.id] = _Run(waiting.pop(check.id), results)
        for result in _wait(running, results):
            del running[result.check.id]
            usable[result.check.id] = result.is_usable
            yield result


def wait_for_threads(seconds: float) -> None:
    """Wait for the checks that still run in this process, which remove what they made."""
    ends_at = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_PREFIX):
            thread.join(max(0.0, ends_at - time.monotonic()))


def _find_blocked(waiting: dict[str, Check], usable: dict[str, bool]) -> Iterator[CheckResult]:
    for check in waiting.values():
        obstacles = [name for name in check.needs if not usable.get(name, True)]
        if obstacles:
            text = f"Not checked, because it needs what failed: {', '.join(obstacles)}."
            yield CheckResult(check, skipped(text, "Solve that first."), 0.0, is_blocked=True)


def _wait(running: dict[str, _Run], results: SimpleQueue[CheckResult]) -> Iterator[CheckResult]:
    """Yield the next result, or those that are due; nothing when no check runs."""
    if not running:
        return
    due_at = min(run.due_at for run in running.values())
    try:
        result = results.get(timeout=max(0.0, due_at - time.monotonic()))
    except Empty:
        yield from [run.late() for run in running.values() if run.due_at <= time.monotonic()]
        return
    # A late check was reported already.
    if result.check.id in running:
        yield result

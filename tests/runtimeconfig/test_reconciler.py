"""Pauses of the reconciler while the database fails."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from tecken.runtimeconfig import reconciler as module
from tecken.runtimeconfig.reconciler import Reconciler


def run(reconciler: Reconciler) -> None:
    """Run it, and wait for the thread that it starts."""
    reconciler.run()
    for thread in threading.enumerate():
        if thread.name == "reconcile":
            thread.join(30)


def test_reconciler_failures_double_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    attempts: list[float] = []

    def fail() -> bool:
        attempts.append(now[0])
        return False

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    reconciler = Reconciler(fail)
    reconciler.request()
    # Each pause is a random part, at least half, of 1, 2 and 4 seconds.
    for now[0] in (1000.0, 1000.4, 1001.0, 1001.9, 1003.0, 1004.9, 1007.0):
        run(reconciler)
    assert attempts == [1000.0, 1001.0, 1003.0, 1007.0]


def test_reconciler_without_a_request_does_not_run() -> None:
    run(Reconciler(lambda: pytest.fail("not requested")))


def test_reconciler_requested_while_it_runs_does_not_run_twice_at_once() -> None:
    begun, may_end, runs = threading.Semaphore(0), threading.Event(), []

    def reconcile() -> bool:
        runs.append(1)
        begun.release()
        return may_end.wait(30)

    reconciler = Reconciler(reconcile)
    reconciler.request()
    reconciler.run()
    assert begun.acquire(timeout=30)
    reconciler.request()
    reconciler.run()
    may_end.set()
    run(reconciler)
    assert runs == [1]

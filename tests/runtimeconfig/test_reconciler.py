"""Pauses of the reconciler while the database fails."""

from __future__ import annotations

import threading

import pytest

from tecken.runtimeconfig.reconciler import Reconciler


def run(reconciler: Reconciler) -> None:
    """Run it, and wait for the thread that it starts."""
    reconciler.run()
    for thread in threading.enumerate():
        if thread.name == "reconcile":
            thread.join(30)


def test_reconciler_failures_double_the_pause() -> None:
    now = [1000.0]
    attempts: list[float] = []

    def fail() -> bool:
        attempts.append(now[0])
        return False

    reconciler = Reconciler(fail, lambda: now[0])
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


def test_reconcilers_of_a_fleet_run_at_different_moments() -> None:
    reconcilers = [Reconciler(lambda: True, lambda: 1000.0) for _ in range(1000)]
    for reconciler in reconcilers:
        reconciler.request((7, ""), within=1.0)
    due = sorted(reconciler.due_at - 1000.0 for reconciler in reconcilers)
    assert 0 <= due[0] < due[-1] <= 1.0
    assert sum(moment < 0.1 for moment in due) < 150


def test_reconciler_request_for_a_head_that_another_process_settled_is_withdrawn() -> None:
    now, runs = [1000.0], []
    reconciler = Reconciler(lambda: not runs.append(1), lambda: now[0])  # type: ignore[func-returns-value]
    reconciler.request((7, ""), within=1.0)
    reconciler.withdraw()
    now[0] += 2
    run(reconciler)
    assert runs == []
    reconciler.request()
    reconciler.request((7, ""))
    reconciler.withdraw()
    run(reconciler)
    assert runs == [1], "the other request stays"


def test_reconciler_requested_again_is_due_at_the_earlier_moment() -> None:
    reconciler = Reconciler(lambda: True, lambda: 1000.0)
    reconciler.request(within=3600.0)
    reconciler.request_again()
    assert reconciler.due_at == 1000.0

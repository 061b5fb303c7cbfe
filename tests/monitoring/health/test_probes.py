from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tecken.errors import Unavailable
from tecken.monitoring.health.probes import FRESH_SECONDS, USABLE_SECONDS, Probe, ProbeRunner
from tecken.settings import BASE_DIR
from tests.support.clock import Clock

# Seconds, for probes that end and for those that never do.
PATIENT, IMPATIENT = 30.0, 0.01
# A process that ends while one of its probes hangs.
HANGING = """
import threading
from tecken.monitoring.health.probes import LATE, Probe, ProbeRunner
results = ProbeRunner([Probe("part", threading.Event().wait)], 0.01).results()
assert results["part"].why == LATE
"""


class Part:
    """Part that returns how often it was tested; it can hang until it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self._go_on = threading.Event()
        self._go_on.set()

    def __call__(self) -> int:
        self.runs += 1
        self._go_on.wait(PATIENT)
        return self.runs

    def hang(self) -> None:
        self._go_on.clear()

    def let_go(self) -> None:
        self._go_on.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def part() -> Iterator[Part]:
    made = Part()
    yield made
    made.let_go()


def thread(name: str) -> threading.Thread:
    (found,) = (thread for thread in threading.enumerate() if thread.name == f"health: {name}")
    return found


def until_well(runner: ProbeRunner, clock: Clock) -> int:
    """Refresh until the probe is well: the thread of one that was let go may take its time."""
    for _ in range(1000):
        clock.now += FRESH_SECONDS
        if (answer := runner.results()["part"]).is_well:
            return int(answer.value)
    raise AssertionError(runner.results())


def test_results_younger_than_a_second_are_used_again(clock: Clock, part: Part) -> None:
    runner = ProbeRunner([Probe("part", part)], PATIENT, clock)
    assert runner.results()["part"].value == 1
    clock.now += FRESH_SECONDS - 0.01
    assert runner.results()["part"].value == 1
    clock.now += 0.01
    assert runner.results()["part"].value == 2


def test_probes_run_side_by_side(clock: Clock) -> None:
    both = threading.Barrier(2)
    runner = ProbeRunner([Probe(name, lambda: both.wait(PATIENT)) for name in "ab"], PATIENT, clock)
    assert sorted(answer.value for answer in runner.results().values()) == [0, 1]


def test_probe_that_hangs_is_late_and_runs_once(clock: Clock, part: Part) -> None:
    part.hang()
    runner = ProbeRunner([Probe("part", part)], IMPATIENT, clock)
    for _ in range(5):
        answer = runner.results()["part"]
        assert (answer.value, answer.why) == (None, "does not answer in time")
        clock.now += FRESH_SECONDS
    assert part.runs == 1
    part.let_go()
    assert until_well(runner, clock) > 0


def test_probe_beside_one_that_hangs_runs(clock: Clock, part: Part) -> None:
    part.hang()
    answered = threading.Event()

    def quick() -> str:
        answered.set()
        return "here"

    runner = ProbeRunner([Probe("part", part), Probe("quick", quick)], IMPATIENT, clock)
    runner.results()
    assert answered.wait(PATIENT)


def test_late_probe_in_grace_returns_the_previous_result(clock: Clock, part: Part) -> None:
    runner = ProbeRunner([Probe("part", part, every=10, grace=5)], IMPATIENT, clock)
    seen = until_well(runner, clock)
    part.hang()
    clock.now += 10
    assert runner.results()["part"].value == seen
    clock.now += 5
    assert not runner.results()["part"].is_well


def test_probe_with_an_interval_runs_once_in_it(clock: Clock, part: Part) -> None:
    runner = ProbeRunner([Probe("part", part, every=10)], PATIENT, clock)
    for _ in range(20):
        runner.results()
        clock.now += FRESH_SECONDS
    assert part.runs == 2


def test_probe_that_failed_runs_at_each_refresh(clock: Clock) -> None:
    runs: list[None] = []

    def fail() -> None:
        runs.append(None)
        raise Unavailable("storage: 503")

    runner = ProbeRunner([Probe("part", fail, every=10)], PATIENT, clock)
    for _ in range(3):
        runner.results()
        clock.now += FRESH_SECONDS
    assert len(runs) == 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Unavailable("storage: 503"), "storage: 503"), (ValueError("redis://:secret@host"), "ValueError")],
)
def test_probe_that_raises_has_a_reason_without_secrets(clock: Clock, error: Exception, reason: str) -> None:
    def fail() -> None:
        raise error

    runner = ProbeRunner([Probe("part", fail)], PATIENT, clock)
    answer = runner.results()["part"]
    assert (answer.is_well, answer.why) == (False, reason)
    clock.now += FRESH_SECONDS
    assert runner.results()["part"].why == reason


class Meeting:
    """Refresh in progress while other threads want results."""

    def __init__(self, clock: Clock, others: Callable[[ProbeRunner], Any]) -> None:
        self.runs = 0
        self._begun, self._over = threading.Event(), threading.Event()
        self._runner = ProbeRunner([Probe("part", self._ask)], PATIENT, clock)
        self._others = others

    def _ask(self) -> int:
        self.runs += 1
        self._begun.set()
        self._over.wait(PATIENT)
        return self.runs

    def first_seen(self) -> None:
        self._over.set()
        self._runner.results()
        self._over.clear()
        self._begun.clear()

    def held(self) -> Any:
        with ThreadPoolExecutor(1) as pool:
            refresh = pool.submit(self._runner.results)
            assert self._begun.wait(PATIENT)
            result = self._others(self._runner)
            self._over.set()
            refresh.result(PATIENT)
        return result


def test_results_during_a_refresh_are_the_previous_ones(clock: Clock) -> None:
    meeting = Meeting(clock, lambda runner: [runner.results()["part"].value for _ in range(3)])
    meeting.first_seen()
    clock.now += FRESH_SECONDS
    assert meeting.held() == [1, 1, 1]
    assert meeting.runs == 2


def test_results_that_are_too_old_are_waited_for_and_refreshed_once(clock: Clock) -> None:
    with ThreadPoolExecutor(3) as pool:
        meeting = Meeting(clock, lambda runner: [pool.submit(runner.results) for _ in range(3)])
        meeting.first_seen()
        clock.now += USABLE_SECONDS
        waiting = meeting.held()
        assert [future.result(PATIENT)["part"].value for future in waiting] == [2, 2, 2]
    assert meeting.runs == 2


def test_threads_end_with_their_runner(clock: Clock) -> None:
    runner = ProbeRunner([Probe("of this test", lambda: None)], PATIENT, clock)
    runner.results()
    running = thread("of this test")
    del runner
    gc.collect()
    running.join(PATIENT)
    assert not running.is_alive()


def test_runner_with_a_probe_that_hangs_starts_no_more_threads(clock: Clock, part: Part) -> None:
    part.hang()
    runner = ProbeRunner([Probe("hangs", part), Probe("works", lambda: None)], IMPATIENT, clock)
    before = thread("hangs"), thread("works")
    for _ in range(5):
        runner.results()
        clock.now += FRESH_SECONDS
    assert (thread("hangs"), thread("works")) == before


def test_process_with_a_probe_that_hangs_ends() -> None:
    """Threads of a ThreadPoolExecutor would be joined at the end of the process."""
    subprocess.run([sys.executable, "-c", HANGING], cwd=BASE_DIR, check=True, timeout=PATIENT)

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tecken.errors import CouldNotAsk
from tecken.monitoring.health.probes import AT_MOST_SECONDS, COUNTS_SECONDS, Check, Looks

PATIENT, IMPATIENT = 30.0, 0.01  # seconds: for checks that end, and for those that never do


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Part:
    """Answers with how often it was asked; one that hangs does so until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self._go_on = threading.Event()
        self._go_on.set()

    def __call__(self) -> int:
        self.asked += 1
        self._go_on.wait(PATIENT)
        return self.asked

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
    (found,) = (one for one in threading.enumerate() if one.name == f"health: {name}")
    return found


def until_well(looks: Looks, clock: Clock) -> int:
    """A thread that was let go may take its time, and a look that finds it late is not the last."""
    for _ in range(1000):
        clock.now += COUNTS_SECONDS
        if (answer := looks.now()["part"]).well:
            return int(answer.value)
    raise AssertionError(looks.now())


def test_what_was_seen_counts_for_a_second(clock: Clock, part: Part) -> None:
    looks = Looks([Check("part", part)], PATIENT, clock)
    assert looks.now()["part"].value == 1
    clock.now += COUNTS_SECONDS - 0.01
    assert looks.now()["part"].value == 1
    clock.now += 0.01
    assert looks.now()["part"].value == 2


def test_checks_run_side_by_side(clock: Clock) -> None:
    both = threading.Barrier(2)
    looks = Looks([Check(name, lambda: both.wait(PATIENT)) for name in "ab"], PATIENT, clock)
    assert sorted(answer.value for answer in looks.now().values()) == [0, 1]


def test_a_check_that_hangs_is_late_and_is_not_started_twice(clock: Clock, part: Part) -> None:
    part.hang()
    looks = Looks([Check("part", part)], IMPATIENT, clock)
    for _ in range(5):
        answer = looks.now()["part"]
        assert (answer.value, answer.why) == (None, "does not answer in time")
        clock.now += COUNTS_SECONDS
    assert part.asked == 1
    part.let_go()
    assert until_well(looks, clock) > 0


def test_the_others_answer_beside_one_that_hangs(clock: Clock, part: Part) -> None:
    part.hang()
    answered = threading.Event()

    def quick() -> str:
        answered.set()
        return "here"

    looks = Looks([Check("part", part), Check("quick", quick)], IMPATIENT, clock)
    looks.now()
    assert answered.wait(PATIENT)


def test_a_late_answer_may_be_stood_in_for(clock: Clock, part: Part) -> None:
    looks = Looks([Check("part", part, every=10, stands=5)], IMPATIENT, clock)
    seen = until_well(looks, clock)
    part.hang()
    clock.now += 10
    assert looks.now()["part"].value == seen
    clock.now += 5
    assert not looks.now()["part"].well


def test_what_is_asked_rarely_is_asked_rarely(clock: Clock, part: Part) -> None:
    looks = Looks([Check("part", part, every=10)], PATIENT, clock)
    for _ in range(20):
        looks.now()
        clock.now += COUNTS_SECONDS
    assert part.asked == 2


def test_what_is_not_well_is_asked_at_each_look(clock: Clock) -> None:
    asked: list[None] = []

    def fail() -> None:
        asked.append(None)
        raise CouldNotAsk("storage: 503")

    looks = Looks([Check("part", fail, every=10)], PATIENT, clock)
    for _ in range(3):
        looks.now()
        clock.now += COUNTS_SECONDS
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [(CouldNotAsk("storage: 503"), "storage: 503"), (ValueError("redis://:secret@host"), "ValueError")],
)
def test_nothing_is_raised_and_no_secret_told(clock: Clock, error: Exception, told: str) -> None:
    def fail() -> None:
        raise error

    looks = Looks([Check("part", fail)], PATIENT, clock)
    answer = looks.now()["part"]
    assert (answer.well, answer.why) == (False, told)
    clock.now += COUNTS_SECONDS
    assert looks.now()["part"].why == told


class Meeting:
    """The first look is on its way while the others ask."""

    def __init__(self, clock: Clock, others: Callable[[Looks], Any]) -> None:
        self.asked = 0
        self._begun, self._over = threading.Event(), threading.Event()
        self._looks = Looks([Check("part", self._ask)], PATIENT, clock)
        self._others = others

    def _ask(self) -> int:
        self.asked += 1
        self._begun.set()
        self._over.wait(PATIENT)
        return self.asked

    def first_seen(self) -> None:
        self._over.set()
        self._looks.now()
        self._over.clear()
        self._begun.clear()

    def held(self) -> Any:
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(self._looks.now)
            assert self._begun.wait(PATIENT)
            told = self._others(self._looks)
            self._over.set()
            looking.result(PATIENT)
        return told


def test_while_one_looks_others_have_what_was_seen_before(clock: Clock) -> None:
    meeting = Meeting(clock, lambda looks: [looks.now()["part"].value for _ in range(3)])
    meeting.first_seen()
    clock.now += COUNTS_SECONDS
    assert meeting.held() == [1, 1, 1]
    assert meeting.asked == 2


def test_what_is_too_old_is_waited_for_and_asked_once(clock: Clock) -> None:
    with ThreadPoolExecutor(3) as pool:
        meeting = Meeting(clock, lambda looks: [pool.submit(looks.now) for _ in range(3)])
        meeting.first_seen()
        clock.now += AT_MOST_SECONDS
        waiting = meeting.held()
        assert [one.result(PATIENT)["part"].value for one in waiting] == [2, 2, 2]
    assert meeting.asked == 2


def test_threads_end_with_whoever_has_them(clock: Clock) -> None:
    looks = Looks([Check("of this test", lambda: None)], PATIENT, clock)
    looks.now()
    running = thread("of this test")
    del looks
    gc.collect()
    running.join(PATIENT)
    assert not running.is_alive()

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

import pytest

from tecken.errors import Pending, Unavailable
from tecken.store.port import Missing
from tecken.symbolication.conversion.queue import (
    MAX_ATTEMPTS,
    Answers,
    CeleryConversionQueue,
    ConversionWorker,
    InlineConversionQueue,
    PageFileRenewal,
    ResultSignals,
)
from tecken.symbolication.conversion.status import MAX_OFFSETS, EarlyFrames, Ready, State
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import MemoryConversionTracker
from tests.symbolication.samples import header_of

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
ABSENT = Missing("absent", "no source has it")


class Queue:
    """Queue that records jobs. `on_sleep` is called while a request waits, with the seconds waited."""

    def __init__(self) -> None:
        self.tracker = MemoryConversionTracker()
        self.clock = Clock()
        self.sent: list[ObjectId] = []
        self.ahead: list[ObjectId] = []
        self.absent: dict[ObjectId, Missing] = {}
        self.on_sleep: Callable[[float], None] = lambda waited: None
        self.broken: Unavailable | None = None
        self.offsets: list[int] = []
        self.signals = ResultSignals()
        self.convert: Callable[[ObjectId], object] | None = None
        self.step = 1.0
        self._began = self.clock.now

    def send(self, modules: Sequence[ObjectId], *, first: bool) -> None:
        if self.broken:
            raise self.broken
        self.sent.extend(modules)
        self.ahead.extend(modules[:1] if first else [])

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.clock.sleep(seconds)
        self.on_sleep(self.clock.now - self._began)

    def convert_and_wait(
        self, *modules: ObjectId, seconds: float = 10.0, client: str = "one", places: int = 100
    ) -> Answers:
        offsets = dict.fromkeys(modules, self.offsets) if self.offsets else {}
        return self.cold(places).convert_and_wait(modules, self.clock.now + seconds, client, offsets)

    def cold(self, places: int = 100) -> CeleryConversionQueue:
        return CeleryConversionQueue(
            self.tracker,
            self.send,
            lambda: places,
            lambda _: self.absent,
            self.signals,
            convert=self.convert,
            clock=self.clock,
            wait=self.wait,
            sleep=self.sleep,
        )

    def wait(self, event: Event, seconds: float) -> bool:
        """Wait in small steps, since a message may come at any moment."""
        end = self.clock.now + seconds
        while self.clock.now < end and not event.is_set():
            self.sleep(max(1e-6, min(self.step, end - self.clock.now)))
        return event.is_set()


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_bring_without_workers_is_pending_at_the_deadline(queue: Queue) -> None:
    answer = queue.convert_and_wait(XUL, seconds=10.0)
    assert isinstance(answer[XUL], Pending)
    assert "no worker has taken it up" in str(answer[XUL])
    assert queue.clock.now == pytest.approx(1010.0)
    assert queue.sent == [XUL]


def test_bring_long_conversion_reports_that_it_continues(queue: Queue) -> None:
    queue.on_sleep = lambda waited: queue.tracker.states.update({XUL: "started"})
    answer = queue.convert_and_wait(XUL)
    assert isinstance(answer[XUL], Pending)
    assert "conversion is going on" in str(answer[XUL])


def test_bring_returns_as_soon_as_all_have_results(queue: Queue) -> None:
    def work(waited: float) -> None:
        if waited > 1:
            queue.tracker.states.update({XUL: Ready(), NSS: ABSENT})

    queue.on_sleep = work
    assert queue.convert_and_wait(XUL, NSS) == {NSS: ABSENT}
    assert queue.clock.now < 1002


def test_bring_pending_module_keeps_results_of_others(queue: Queue) -> None:
    queue.tracker.states[NSS] = ABSENT
    answer = queue.convert_and_wait(XUL, NSS)
    assert answer[NSS] == ABSENT
    assert isinstance(answer[XUL], Pending)


def test_bring_concurrent_requests_send_one_job(queue: Queue) -> None:
    for _ in range(5):
        queue.convert_and_wait(XUL, NSS, seconds=1.0)
    assert queue.sent == [XUL, NSS]


def test_bring_lost_job_is_sent_again(queue: Queue) -> None:
    def forget(waited: float) -> None:
        if waited > 5 and len(queue.sent) == 1:
            queue.tracker.states.clear()

    queue.on_sleep = forget
    queue.convert_and_wait(XUL)
    assert queue.sent == [XUL, XUL]


def test_bring_failing_queue_releases_its_claims(queue: Queue) -> None:
    queue.broken = Unavailable("the queue does not answer")
    assert queue.convert_and_wait(XUL, NSS) == {XUL: queue.broken, NSS: queue.broken}
    assert queue.tracker.states == {}
    assert queue.clock.now == 1000.0


def test_bring_unavailable_board_returns_at_once(queue: Queue) -> None:
    queue.tracker.away = Unavailable("redis-cache does not answer")
    assert queue.convert_and_wait(XUL) == {XUL: queue.tracker.away}
    assert queue.clock.now == 1000.0


def test_bring_board_failing_later_keeps_earlier_results(queue: Queue) -> None:
    away = Unavailable("redis-cache does not answer")
    queue.tracker.states[NSS] = ABSENT
    queue.on_sleep = lambda waited: setattr(queue.tracker, "away", away)
    assert queue.convert_and_wait(XUL, NSS) == {NSS: ABSENT, XUL: away}


def test_bring_no_modules_makes_no_calls(queue: Queue) -> None:
    queue.tracker.away = Unavailable("redis-cache does not answer")
    assert queue.convert_and_wait() == {}


def test_bring_after_the_deadline_polls_once(queue: Queue) -> None:
    queue.tracker.states[NSS] = ABSENT
    assert queue.convert_and_wait(NSS, seconds=-1) == {NSS: ABSENT}


def many(count: int) -> list[ObjectId]:
    return [ObjectId(f"{i}.so", "0" * 33) for i in range(count)]


def test_bring_many_modules_takes_half_of_the_places(queue: Queue) -> None:
    answer = queue.convert_and_wait(*many(20_000), places=8)
    assert queue.sent == many(4)
    assert queue.ahead == many(1)
    assert len(answer) == 20_000
    assert "workers are busy with other modules of the same client" in str(answer[many(5)[4]])


def test_bring_freed_places_claim_the_next_modules(queue: Queue) -> None:
    def work(waited: float) -> None:
        for module in list(queue.sent):
            if queue.tracker.states[module] == "asked":
                queue.tracker.begin(module)
                queue.tracker.finish(module, ABSENT, ended=True)

    queue.on_sleep = work
    assert queue.convert_and_wait(*many(300), places=8) == dict.fromkeys(many(300), ABSENT)
    assert queue.sent == many(300)
    assert queue.clock.now < 1003


def test_bring_single_module_precedes_a_large_request(queue: Queue) -> None:
    queue.convert_and_wait(*many(100), places=8)
    queue.convert_and_wait(XUL, places=8)
    assert queue.sent[-1] == XUL
    assert queue.ahead == [many(1)[0], XUL]


def test_bring_many_single_module_requests_are_bounded(queue: Queue) -> None:
    for module in many(100):
        queue.convert_and_wait(module, places=8, seconds=0)
    assert queue.sent == many(8)


def test_bring_known_absent_module_sends_no_job(queue: Queue) -> None:
    queue.absent = {XUL: ABSENT}
    assert queue.convert_and_wait(XUL) == {XUL: ABSENT}
    assert not queue.sent


class Preparations:
    """Converter that returns the given results in order; an exception is raised."""

    def __init__(self, *answers: Header | Missing | BaseException) -> None:
        self.answers = list(answers)
        self.given_up: list[str] = []

    def convert(self, module: ObjectId) -> Header | Missing:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def give_up(self, module: ObjectId, reason: str) -> Missing:
        self.given_up.append(reason)
        return Missing("malformed", reason)


class Killed(BaseException):
    """Stand-in for the end of the process."""


def test_inline_bring_converts_each_module() -> None:
    unreachable = Unavailable("storage is away")
    cold = InlineConversionQueue(Preparations(header_of(XUL), ABSENT, unreachable), Clock())
    other = ObjectId("c.so", "0" * 33)
    assert cold.convert_and_wait([XUL, NSS, other], 1001.0) == {NSS: ABSENT, other: unreachable}


def test_inline_bring_notes_each_module_before_it_is_converted() -> None:
    noted: list[ObjectId] = []
    InlineConversionQueue(Preparations(ABSENT, ABSENT), note=noted.append).convert_and_wait(
        [XUL, NSS], float("inf")
    )
    assert noted == [XUL, NSS]


def test_inline_bring_after_the_deadline_converts_nothing() -> None:
    preparations = Preparations(ABSENT)
    answer = InlineConversionQueue(preparations, Clock()).convert_and_wait([XUL], 1000.0)
    assert isinstance(answer[XUL], Pending)
    assert preparations.answers == [ABSENT]


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (header_of(XUL), Ready()),
        (ABSENT, ABSENT),
        (Pending("another has it"), Missing("unreachable", "another has it")),
    ],
    ids=["ready", "absent", "pending"],
)
def test_worker_conversion_publishes_its_result(
    queue: Queue, result: Header | Missing | Unavailable, state: Ready | Missing
) -> None:
    ConversionWorker(queue.tracker, Preparations(result)).work(XUL)
    assert queue.tracker.states == {XUL: state}
    assert not queue.tracker.attempts


def test_worker_repeated_deaths_give_the_module_up(queue: Queue) -> None:
    preparations = Preparations(*[Killed()] * MAX_ATTEMPTS)
    worker = ConversionWorker(queue.tracker, preparations)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Killed):
            worker.work(XUL)
    worker.work(XUL)
    assert queue.tracker.states == {XUL: Missing("malformed", f"conversion failed {MAX_ATTEMPTS} times")}
    assert not queue.tracker.attempts


def test_worker_exception_is_published_and_counted(queue: Queue) -> None:
    with pytest.raises(ZeroDivisionError):
        ConversionWorker(queue.tracker, Preparations(ZeroDivisionError())).work(XUL)
    assert queue.tracker.states == {XUL: Missing("unreachable", "conversion failed: ZeroDivisionError")}
    assert queue.tracker.attempts[XUL] == 1


def test_worker_ended_attempts_are_not_counted(queue: Queue) -> None:
    worker = ConversionWorker(queue.tracker, Preparations(*[ABSENT] * 2 * MAX_ATTEMPTS))
    for _ in range(2 * MAX_ATTEMPTS):
        worker.work(XUL)
    assert queue.tracker.states == {XUL: ABSENT}


# Early frames, and messages


def publish(queue: Queue, early: EarlyFrames) -> None:
    assert queue.tracker.publish_frames(XUL, queue.tracker.revision(XUL), early)


def test_bring_offsets_reach_the_worker_that_answers_them(queue: Queue) -> None:
    early = EarlyFrames("xul.dll", {5: None, 6: None})

    def work(waited: float) -> None:
        if queue.tracker.wanted(XUL) == {5, 6} and not queue.tracker.early:
            publish(queue, early)

    queue.offsets, queue.on_sleep = [5, 6], work
    assert queue.convert_and_wait(XUL) == {XUL: early}
    assert queue.clock.now < 1001


def test_bring_module_that_another_request_claimed_gets_its_offsets_too(queue: Queue) -> None:
    queue.convert_and_wait(XUL, seconds=0.0)
    queue.offsets = [7]
    assert isinstance(queue.convert_and_wait(XUL, seconds=1.0)[XUL], Pending)
    assert queue.tracker.wanted(XUL) == {7}
    assert queue.sent == [XUL]


def test_bring_early_frames_without_an_offset_wait_for_the_page_file(queue: Queue) -> None:
    def work(waited: float) -> None:
        if not queue.tracker.early:
            publish(queue, EarlyFrames("", {5: None}))
        elif waited > 1:
            queue.tracker.finish(XUL, Ready(), ended=False)

    queue.offsets, queue.on_sleep = [5, 6], work
    assert queue.convert_and_wait(XUL) == {}
    assert 1001 < queue.clock.now < 1002


def test_bring_scanned_module_is_pending_at_the_deadline(queue: Queue) -> None:
    queue.offsets, queue.on_sleep = [6], lambda _: publish(queue, EarlyFrames("", {5: None}))
    answer = queue.convert_and_wait(XUL)
    assert isinstance(answer[XUL], Pending)
    assert "conversion is going on" in str(answer[XUL])


def test_bring_more_offsets_than_early_frames_can_have_sends_none(queue: Queue) -> None:
    queue.offsets = list(range(MAX_OFFSETS + 1))
    queue.convert_and_wait(XUL, seconds=1.0)
    assert queue.tracker.wanted(XUL) == set()


def test_bring_message_ends_the_pause(queue: Queue) -> None:
    def work(waited: float) -> None:
        if waited > 5 and queue.tracker.states[XUL] == "asked":
            queue.tracker.states[XUL] = Ready()
            queue.signals.notify(XUL.key)

    queue.on_sleep, queue.step = work, 0.001
    assert queue.convert_and_wait(XUL) == {}
    assert 1005 < queue.clock.now < 1005.003


def test_bring_messages_of_many_modules_are_collected(queue: Queue) -> None:
    """A poll of many modules is not repeated for each message: a second of them costs less than 50 polls."""
    polled = 0
    get = queue.tracker.get

    def counted(modules: Sequence[ObjectId]) -> list[State]:
        nonlocal polled
        polled += len(modules)
        return get(modules)

    def work(waited: float) -> None:
        module = queue.sent[int(waited * 1000) % len(queue.sent)]
        queue.tracker.states[module] = Ready()
        queue.signals.notify(module.key)

    queue.tracker.get = counted  # type: ignore[method-assign]
    queue.on_sleep, queue.step = work, 0.001
    queue.convert_and_wait(*many(128), seconds=1.0, places=256)
    assert polled < 50 * 128


def test_bring_leaves_no_event_behind(queue: Queue) -> None:
    queue.convert_and_wait(XUL, NSS, seconds=0.5)
    queue.tracker.away = Unavailable("redis-cache does not answer")
    queue.convert_and_wait(XUL, NSS, seconds=0.5)
    assert queue.signals.watched == 0


# Of a worker's process


def test_worker_that_waits_converts_modules_that_no_other_has_begun(queue: Queue) -> None:
    converted = []

    def convert(module: ObjectId) -> None:
        converted.append(module)
        queue.tracker.finish(module, Ready(), ended=True)
        # Another worker takes the first job meanwhile.
        queue.tracker.states[XUL] = "started"

    queue.convert = convert
    queue.on_sleep = lambda waited: queue.tracker.states.update({XUL: ABSENT})
    several = [ObjectId(f"lib{number}.so", XUL.debug_id) for number in range(200)]
    # Without places their jobs are not sent.
    assert queue.convert_and_wait(XUL, NSS, *several, places=2) == {XUL: ABSENT}
    assert converted == [*reversed(several), NSS]
    assert queue.sent[0] == XUL


def test_worker_that_waits_begins_no_conversion_after_the_deadline(queue: Queue) -> None:
    def convert(module: ObjectId) -> None:
        queue.clock.sleep(11)
        queue.tracker.finish(module, Ready(), ended=True)

    queue.convert = convert
    answers = queue.convert_and_wait(XUL, NSS)
    assert isinstance(answers.pop(XUL), Pending)
    assert answers == {}


def test_worker_that_waits_survives_a_conversion_that_fails(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    failure = Missing("unreachable", "conversion failed: KeyError")

    def convert(module: ObjectId) -> None:
        queue.tracker.finish(module, failure, ended=False)
        raise KeyError(module)

    queue.convert = convert
    assert queue.convert_and_wait(XUL, NSS) == {XUL: failure, NSS: failure}
    assert f"{XUL}: its conversion failed" in caplog.text


def test_worker_that_waits_converts_a_module_once(queue: Queue) -> None:
    converted: list[ObjectId] = []
    # Its result has expired, or the server has lost it.
    queue.convert = converted.append
    assert isinstance(queue.convert_and_wait(XUL)[XUL], Pending)
    assert converted == [XUL]


def test_worker_that_waits_without_redis_is_unavailable(queue: Queue) -> None:
    error = Unavailable("redis-cache does not answer")

    def convert(_module: ObjectId) -> None:
        raise error

    queue.convert = convert
    assert queue.convert_and_wait(XUL, NSS) == {XUL: error, NSS: error}


def test_renewal_sends_jobs_for_claimed_modules_only() -> None:
    sent: list[ObjectId] = []
    PageFileRenewal(lambda modules: modules[1:], sent.extend).renew([XUL, NSS])
    PageFileRenewal(lambda _: [], sent.extend).renew([XUL])
    assert sent == [NSS]


def test_renewal_without_redis_raises_nothing() -> None:
    def fail(_modules: Sequence[ObjectId]) -> Sequence[ObjectId]:
        raise Unavailable("redis-cache does not respond")

    PageFileRenewal(fail, lambda _: None).renew([XUL])

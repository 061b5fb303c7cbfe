"""Jobs in one process. tests/system/test_durable.py has those that end their process."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import states

from tecken.celery import app
from tecken.jobs import keys
from tecken.jobs.records import START_KEPT_DAYS, DeadLetter, records
from tecken.jobs.task import LONGEST_PAUSE, TRIES_WITH_FULL_DISK, pause
from tecken.redisclient import services as redis_services
from tecken.settings import CELERY_VISIBILITY_TIMEOUT
from tecken.tasks import clean_records
from tests.jobs.traced import traced
from tests.support.options import Override
from tests.support.queue_away import queue_away

pytestmark = pytest.mark.usefixtures("clear_redis_cache")

Run = Callable[..., Any]


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Return a function that runs another one once, as a job with the id `job`."""
    name = request.node.name

    def once(body: Callable[..., object], *arguments: object, **message: Any) -> Any:
        task = app.task(body, name=name, bind=True)
        app.finalize()
        return traced(task, *arguments, **message)

    yield once
    app.tasks.pop(name, None)


def fail(_self: object, *_args: object) -> None:
    raise ZeroDivisionError("by zero")


def count(_self: object) -> int:
    return starts()


def starts() -> int:
    return int(redis_services.queue_client().hget(keys.STARTS, "job") or 0)


def test_job_that_ends_leaves_no_record(run: Run) -> None:
    assert run(count).retval == 1
    assert (starts(), records().letters()) == (0, [])
    assert redis_services.queue_client().zcard(keys.STARTED) == 0


def test_task_called_directly_counts_no_start() -> None:
    task = app.task(starts, name="called")
    assert task() == 0
    app.tasks.pop("called")


def test_job_that_fails_becomes_a_dead_letter(run: Run) -> None:
    run(fail, 1, "two")
    letter = records().letter("job")
    assert letter is not None
    assert (letter.args, letter.starts, letter.why) == ([1, "two"], 1, "ZeroDivisionError: by zero")
    assert "in fail" in letter.trace
    assert starts() == 0


def test_job_with_expiry_that_fails_is_no_dead_letter(run: Run) -> None:
    run(fail, expires="2100-01-01T00:00:00+00:00")
    assert (records().letters(), starts()) == ([], 0)


def test_job_that_retries_is_no_dead_letter(run: Run) -> None:
    def again(self: Any) -> None:
        raise self.retry(countdown=0)

    assert run(again).info.state == states.RETRY
    assert starts() == 0
    assert records().letters() == []


def fill_disk(_self: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_job_with_full_disk_is_retried(run: Run) -> None:
    assert run(fill_disk).info.state == states.RETRY
    assert (starts(), records().letters()) == (0, [])


def test_job_with_disk_full_at_last_try_is_a_dead_letter(run: Run) -> None:
    run(fill_disk, retries=TRIES_WITH_FULL_DISK)
    (letter,) = records().letters()
    assert letter.why == "OSError: [Errno 28] No space left on device"


def test_job_started_too_often_becomes_a_dead_letter(run: Run, runtime_options: Override) -> None:
    runtime_options(jobs_max_starts=2)
    ran: list[int] = []

    def killed(_self: object) -> None:
        ran.append(starts())
        raise SystemExit

    for _ in range(2):
        with pytest.raises(SystemExit):
            run(killed)
    run(killed)
    letter = records().letter("job")
    assert ran == [1, 2]
    assert letter is not None
    assert letter.why == "started 2 times, and never came to an end"
    assert starts() == 0


def test_dead_letter_of_second_start_is_removed_when_the_first_ends(run: Run) -> None:
    def slow(_self: object) -> None:
        records().store_letter(DeadLetter("job", "slow", "convert", "given up", 1.0))

    run(slow)
    assert records().letters() == []


def test_job_runs_when_its_start_cannot_be_counted(run: Run) -> None:
    with queue_away():
        result = run(fail, expires="2100-01-01T00:00:00+00:00")
    assert isinstance(result.info.retval, ZeroDivisionError)


def test_job_returns_to_queue_when_its_dead_letter_cannot_be_stored(run: Run) -> None:
    with queue_away():
        result = run(fail)
    assert result.info.state == states.REJECTED
    assert result.info.retval.requeue


def test_clean_removes_old_starts() -> None:
    records().begin("lost")
    records().begin("new")
    redis_services.queue_client().zincrby(keys.STARTED, -86_400.0 * START_KEPT_DAYS - 60, "lost")
    clean_records()
    assert redis_services.queue_client().hkeys(keys.STARTS) == [b"new"]


def test_pauses_are_spread_and_below_the_visibility_timeout() -> None:
    for retries in range(50):
        longest = min(10.0 * 2**retries, LONGEST_PAUSE)
        assert longest / 2 <= pause(10.0, retries) <= longest < CELERY_VISIBILITY_TIMEOUT
    assert len({pause(10.0, 1) for _ in range(20)}) > 1

"""Real workers that are killed, jobs that kill them, and a queue that is unavailable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tecken.jobs.records import DeadLetter, Records
from tests.jobs.worker import LATE, Worker, working
from tests.support.sentinel import wait_until

NAMES = [f"job {number}" for number in range(200)]


def wait_for_letter(worker: Worker) -> DeadLetter:
    records = Records(worker.raw_queue)
    wait_until(lambda: len(records.letters()) == 1, LATE, "it is a dead letter")
    return records.letters()[0]


@pytest.mark.parametrize("task", ["kill", "stick"])
def test_job_that_ends_its_process_starts_three_times(tmp_path: Path, task: str) -> None:
    with working(tmp_path, "prefork") as worker:
        worker.send(task)
        letter = wait_for_letter(worker)
        assert letter.why == "started 3 times, and never came to an end"
        assert (letter.task, letter.starts, worker.done()) == (task, 3, [task] * 3)
        worker.send("mark", "another")
        worker.wait_for("another")
        wait_until(lambda: worker.queue.hlen("unacked") == 0, LATE, "nothing is left of it")
        assert worker.queue.exists("jobs:starts", "jobs:started") == 0


def test_job_that_fails_starts_once(tmp_path: Path) -> None:
    with working(tmp_path, "prefork") as worker:
        worker.send("fail")
        assert wait_for_letter(worker).why == "ZeroDivisionError: by zero"
        assert worker.done() == ["fail"]


def test_job_of_unknown_task_becomes_a_dead_letter(tmp_path: Path) -> None:
    with working(tmp_path, "solo") as worker:
        worker.send("of the next version", 1, queue="upload")
        letter = wait_for_letter(worker)
        assert (letter.task, letter.args, letter.queue) == ("of the next version", [1], "upload")


def test_killed_workers_job_is_done_by_another_worker(tmp_path: Path) -> None:
    with working(tmp_path, "prefork") as worker:
        worker.send("wait", "first")
        worker.wait_for("first began")
        worker.kill()
        worker.start()
        worker.send("mark", "meanwhile")
        worker.wait_for("meanwhile")
        wait_until(lambda: worker.done().count("first began") == 2, LATE, "it is started again")
        worker.cache.lpush("go", 1, 1)
        worker.wait_for("first ended")


def test_worker_whose_job_ends_without_an_answer_takes_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_TIMEOUT_SECONDS", "1")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with working(tmp_path, "solo") as worker:
        worker.send("hold", str(pipe))
        wait_until(lambda: worker.done() == ["hold"], LATE, "it has begun")
        worker.server.pause()
        with pipe.open("wb"):
            pipe.unlink()
        try:
            wait_until(lambda: "Couldn't ack" in worker.log.read_text(), LATE, "it has ended")
        finally:
            worker.server.resume()
        worker.send("mark", "next")
        worker.wait_for("next")
        wait_until(lambda: worker.queue.hlen("unacked") == 0, LATE, "it is acknowledged in the end")


def test_kills_of_workers_and_server_lose_no_job(tmp_path: Path) -> None:
    with working(tmp_path, "prefork") as worker:
        for name in NAMES:
            worker.send("mark", name, queue="convert")
        for number in range(4):
            wait_until(lambda: len(set(worker.done())) > 20 * (1 + number), LATE, "some are done")  # noqa: B023
            if number % 2:
                worker.server.kill()
                worker.server.start()
            else:
                worker.kill()
                worker.start()
        wait_until(lambda: set(worker.done()) == set(NAMES), LATE, "all are done")

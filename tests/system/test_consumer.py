"""A worker while the whole site is under maintenance."""

from __future__ import annotations

from pathlib import Path

import pytest

from tecken.jobs.keys import QUEUES
from tests.jobs.worker import LATE, Worker, working
from tests.support.sentinel import wait_until

LATER = [f"later {number}" for number in range(20)]


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_pause_starts_no_job_and_loses_none(tmp_path: Path, pool: str) -> None:
    with working(tmp_path, pool) as worker:
        worker.send("mark", "before")
        worker.wait_for("before")
        worker.send("mark", "in a second", countdown=1.5)  # waits in the worker
        wait_until(lambda: worker.queue.hlen("unacked") == 1, LATE, "the worker has it")
        worker.shut()
        for name in LATER:
            worker.send("mark", name)
        wait_until(lambda: worker.queue.llen("housekeeping") == 21, LATE, "it returns to its queue")
        assert worker.paused()  # and still answers
        assert worker.done() == ["before"]
        worker.open()
        worker.wait_for("before", "in a second", *LATER)
        wait_until(lambda: worker.queue.hlen("unacked") == 0, LATE, "the worker has forgotten all of them")
        assert worker.queue.llen("housekeeping") == 0
        assert worker.paused() == []


def test_pause_survives_a_lost_connection(tmp_path: Path) -> None:
    with working(tmp_path, "prefork") as worker:
        worker.shut()
        worker.send("mark", "one")
        worker.server.stop()
        worker.server.start()
        wait_until(lambda: worker.paused() == sorted(QUEUES), LATE, "the worker is back")
        worker.send("mark", "another")
        assert worker.paused() == sorted(QUEUES)
        assert (worker.done(), worker.queue.llen("housekeeping")) == ([], 2)
        worker.open()
        worker.wait_for("one", "another")


def test_worker_started_under_maintenance_pauses(tmp_path: Path) -> None:
    with working(tmp_path, "prefork") as worker:
        worker.config.set("is-under-maintenance", "x")  # it takes longer than this to start
        worker.send("mark", "one")
        wait_until(lambda: worker.paused() == sorted(QUEUES), LATE, "the worker pauses")
        assert (worker.done(), worker.queue.llen("housekeeping")) == ([], 1)


def test_job_running_through_a_change_keeps_its_version_and_logs_it(tmp_path: Path) -> None:
    with working(tmp_path, "prefork") as worker:
        worker.send("look twice")
        wait_until(lambda: worker.done() == ["0"], LATE, "it has begun")
        worker.config.hset("config:values", "symbolicate_max_jobs", "2")
        worker.config.incr("config:version")
        wait_until(lambda: other_jobs_have(worker, "1"), LATE, "the next version is in force")
        worker.cache.lpush("go on", "now")
        wait_until(lambda: "Task look twice" in ends(worker), LATE, "it has ended")
        assert "looked twice: 0 and 0" in ends(worker)
        assert all("[v0]" in line for line in ends(worker).splitlines() if "twice" in line)
        assert "[v1]" in ends(worker)


def other_jobs_have(worker: Worker, version: str) -> bool:
    worker.send("look")
    return worker.done()[0] == version


def ends(worker: Worker) -> str:
    lines = worker.log.read_text().splitlines()
    return "\n".join(line for line in lines if "succeeded" in line or "looked" in line)

"""The runtime configuration in every process of a site: two kinds of web server and a worker.

One site serves all tests of this module; each leaves it well. Whatever happens to Redis, requests go on to be
answered, and once it is back no process keeps an older value for longer than a second.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import httpx
import pytest
import redis

from tests.runtimeconfig.wrong import WRONG, said_of
from tests.support.sentinel import wait_until
from tests.system.fleet import FORKED, LATE, LIMITED, SMALL, SOON, SPAWNED, Fleet, serving

pytestmark = pytest.mark.xdist_group("runtimeconfig")  # all tests share a site

OUTAGE = 10.0  # seconds
ROUNDS = 10
WRITERS = 8


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """Return the fleet, open and with the default number of jobs in every process."""
    running.changed(10)
    running.wait_for_web(lambda seen: not seen["maintenance"], "open again")
    return running


def test_change_reaches_every_process(fleet: Fleet) -> None:
    version = fleet.changed(20)
    fleet.wait_for_workers(20)
    assert {seen["version"] for seen in fleet.worker_seen().values()} == {version}


def test_change_applies_to_requests_and_responses_name_its_version(fleet: Fleet) -> None:
    url = f"{fleet.urls[1]}/symbolicate/v5"
    assert httpx.post(url, json=LIMITED).status_code == 413
    version = fleet.changed(20)
    reply = httpx.post(url, json=LIMITED)
    assert (reply.status_code, reply.headers["X-Config-Version"]) == (200, str(version))


def test_process_reports_list_every_process(fleet: Fleet) -> None:
    version = fleet.changed(20)
    web = set(fleet.web_seen()) | set(fleet.worker_seen())

    def reported() -> bool:
        reply = httpx.get(f"{fleet.url}/api/config/processes/", headers={"Auth-Token": fleet.token}).json()
        has = {int(one["process"].rpartition(":")[2]) for one in reply["processes"] if one["applied"]}
        return bool(reply["version"] == version and web <= has)

    wait_until(reported, LATE, "every process reports the newest version")


def test_command_set_prints_how_many_processes_have_the_change(fleet: Fleet) -> None:
    told = fleet.manage("config", "set", "symbolicate_max_jobs", "30")
    assert "symbolicate_max_jobs 10 -> 30" in told
    assert "applied by" in told
    fleet.wait_for_web(lambda seen: seen["jobs"] == 30, "30 jobs")


def test_value_set_by_redis_cli_applies_and_is_recorded(fleet: Fleet) -> None:
    with fleet.configuration() as configuration:
        configuration.hset("config:values", "symbolicate_max_jobs", "40")
        configuration.incr("config:version")
    fleet.wait_for_web(lambda seen: seen["jobs"] == 40, "40 jobs")

    def adopted() -> bool:
        return "redis-cli" in fleet.manage("config", "history")

    wait_until(adopted, LATE, "the history knows of it")


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_invalid_value_set_by_redis_cli_is_ignored_and_reported(fleet: Fleet, name: str, text: str) -> None:
    told = said_of(name, text)
    with fleet.configuration() as configuration:
        configuration.hset("config:values", name, text)
        configuration.incr("config:version")
        try:
            fleet.wait_for_web(lambda seen: (seen["jobs"], seen["bad"]) == (10, {name: told}), told)
            assert told in fleet.manage("config", "list")
        finally:
            configuration.hdel("config:values", name)
            configuration.incr("config:version")
        fleet.wait_for_web(lambda seen: seen["bad"] == {}, "nothing is wrong")


def test_redis_killed_for_ten_seconds_keeps_the_values(fleet: Fleet) -> None:
    fleet.changed(20)
    with serving(fleet, LIMITED):
        fleet.cache.kill()
        fleet.wait_for_web(lambda seen: seen["stale"], "it is known to be stale")
        version = fleet.recorded(50)
        fleet.wait_for_web(lambda seen: seen["age"] >= OUTAGE, f"{OUTAGE} s without Redis", OUTAGE + LATE)
        fleet.cache.start()
        fleet.wait_for_web(lambda seen: (seen["jobs"], seen["version"]) == (50, version), "50 jobs")
    fleet.wait_for_workers(50)


def test_redis_frozen_keeps_the_values(fleet: Fleet) -> None:
    fleet.changed(20)
    with serving(fleet, LIMITED):
        fleet.cache.pause()
        fleet.wait_for_web(lambda seen: seen["stale"], "it is known to be stale")
        version = fleet.recorded(60)
        fleet.cache.resume()
        fleet.wait_for_web(lambda seen: (seen["jobs"], seen["version"]) == (60, version), "60 jobs")
        fleet.wait_for_web(lambda seen: not seen["stale"], "it is known to be fresh")
    fleet.wait_for_workers(60)


def test_redis_flushed_is_filled_from_the_database(fleet: Fleet) -> None:
    fleet.changed(20)
    with serving(fleet, LIMITED), fleet.configuration() as configuration:
        configuration.flushall()
        fleet.wait_for_value(b"20")
        fleet.changed(70)
    fleet.wait_for_workers(70)


def test_redis_with_older_values_is_updated_from_the_database(fleet: Fleet, tmp_path: Path) -> None:
    fleet.changed(20)
    fleet.cache.stop()
    shutil.copytree(fleet.cache.data, tmp_path / "older")
    fleet.cache.start()
    version = fleet.changed(80)
    with serving(fleet, LIMITED):
        fleet.cache.kill()
        shutil.rmtree(fleet.cache.data / "appendonlydir")
        shutil.copytree(tmp_path / "older" / "appendonlydir", fleet.cache.data / "appendonlydir")
        fleet.cache.start()
        fleet.wait_for_web(
            lambda seen: (seen["jobs"], seen["version"], seen["stale"]) == (80, version, False), "80 jobs"
        )
        fleet.wait_for_value(b"80")


def cut(configuration: redis.Redis, over: Event) -> None:
    """End every subscription, again and again."""
    while not over.is_set():
        configuration.client_kill_filter(_type="pubsub")


def test_change_while_subscriptions_are_cut_reaches_every_process(fleet: Fleet) -> None:
    with serving(fleet, SMALL), fleet.configuration() as configuration:
        for jobs in range(100, 100 + ROUNDS):
            over = Event()
            cutting = Thread(target=cut, args=[configuration, over])
            cutting.start()
            try:
                fleet.changed(jobs)
            finally:
                over.set()
                cutting.join()
    fleet.wait_for_workers(99 + ROUNDS)


def test_concurrent_changes_end_with_one_value_in_every_process(fleet: Fleet) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        replies = list(
            pool.map(lambda jobs: fleet.change(symbolicate_max_jobs=jobs), range(200, 200 + WRITERS))
        )
    assert {reply.status_code for reply in replies} <= {200, 409}
    last = max(
        (reply.json() for reply in replies if reply.status_code == 200), key=lambda made: int(made["version"])
    )
    expected = int(last["changed"]["symbolicate_max_jobs"]["new"]), last["version"]
    fleet.wait_for_web(lambda seen: (seen["jobs"], seen["version"]) == expected, f"{expected}")


def test_concurrent_changes_of_one_version_have_one_winner(fleet: Fleet) -> None:
    url, token = f"{fleet.url}/api/config/", {"Auth-Token": fleet.token}
    read = httpx.get(url, headers=token).headers["ETag"]

    def write(jobs: int) -> int:
        body = {"changes": {"symbolicate_max_jobs": jobs}}
        return httpx.patch(url, json=body, headers={**token, "If-Match": read}, timeout=30).status_code

    with ThreadPoolExecutor(WRITERS) as pool:
        codes = sorted(pool.map(write, range(300, 300 + WRITERS)))
    assert codes == [200] + [409] * (WRITERS - 1)


def downloads(fleet: Fleet) -> dict[str, int]:
    """Return the status of a download by process. Each is of a new file, so that the storage is searched."""
    return {
        reply.headers["X-Process"]: reply.status_code
        for number in range(1, 9)  # no file is searched for the id 0
        for url in fleet.urls
        for reply in [httpx.get(f"{url}/{uuid4().hex}.pdb/{number}/x.sym", timeout=10)]
    }


def all_answer(fleet: Fleet, expected: bool) -> bool:
    """Return whether every web process is, or is not, under maintenance."""
    wanted = 503 if expected else 404
    return Counter(downloads(fleet).values()) == {wanted: SPAWNED + FORKED}


@pytest.mark.parametrize("text", ["x", "", "0"])
def test_maintenance_key_with_any_value_closes_every_process(fleet: Fleet, text: str) -> None:
    with fleet.configuration() as configuration:
        configuration.set("is-under-maintenance", text)
        try:
            wait_until(lambda: all_answer(fleet, expected=True), SOON, "every process is shut")
        finally:
            configuration.delete("is-under-maintenance")
        wait_until(lambda: all_answer(fleet, expected=False), SOON, "every process is open")


def takes_jobs(fleet: Fleet, queue: redis.Redis) -> bool:
    """Return whether a worker waits for a job. One that is not paused waits for none between two waits."""
    if not fleet.is_paused():
        return True
    return any("b" in one["flags"] and one["cmd"] == "brpop" for one in queue.client_list())


def test_jobs_during_maintenance_run_after_it(fleet: Fleet) -> None:
    with fleet.configuration() as configuration, redis.Redis.from_url(fleet.broker) as queue:
        configuration.set("is-under-maintenance", "x")
        try:
            wait_until(lambda: not takes_jobs(fleet, queue), LATE, "the worker takes no more jobs")
            fleet.send_jobs()
            wait_until(lambda: all_answer(fleet, expected=True), SOON, "every process is shut")
            assert queue.llen("housekeeping") == fleet.JOBS
        finally:
            configuration.delete("is-under-maintenance")
        fleet.wait_for_jobs()

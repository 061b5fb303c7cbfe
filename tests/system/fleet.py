"""Site of many processes, each of which reports the configuration in force."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import redis
from celery import Celery

from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import wait_until
from tests.system.site import Site, end

SPAWNED, FORKED, WORKERS = 2, 2, 2  # processes: the web server's, those of tests.support.prefork, Celery's
SOON = 5.0  # seconds: the second that is promised, and what a busy machine adds
LATE = 30.0
LIMITED: dict[str, Any] = {
    "jobs": [{"memoryMap": [], "stacks": [[]]}] * 11
}  # one more than the default allows
SMALL: dict[str, Any] = {"memoryMap": [], "stacks": [[]]}
PERMISSION = "runtimeconfig.change_option"

Seen = dict[int, dict[str, Any]]  # by process id


class Fleet(Site):
    """Two web servers and a worker. `seen()` has what each process said lately."""

    web = ("-m", "tecken.front", "tests.support.observed:front")
    web_processes = SPAWNED
    worker = (
        *("-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"),
        *("--concurrency", str(WORKERS), "--include", "tests.support.observed_jobs"),
    )

    JOBS = 4 * WORKERS

    def __init__(self, home: Path, **environment: str) -> None:
        super().__init__(home, None, **environment)
        self._forked_port = free_port()
        self._forked: subprocess.Popen[bytes] | None = None
        self._answers = home / "answers"
        self.urls = (self.url, f"http://127.0.0.1:{self._forked_port}")
        self.token = ""

    def start_web(self) -> None:
        permission = ("--permission", PERMISSION, "--create-user")
        self.token = self.manage("createtoken", "op@example.com", *permission).strip()
        self._forked = self._python(["-m", "tests.support.prefork", str(self._forked_port)])
        super().start_web()
        wait_until(lambda: len(self.web_seen()) == SPAWNED + FORKED, LATE, "every web process answers")

    def __exit__(self, *error: Any) -> None:
        end(self._forked)
        super().__exit__(*error)

    def web_seen(self) -> Seen:
        """Send requests over a few new connections. The kernel chooses the process of each."""
        told = [self._ask(url) for url in self.urls for _ in range(4 * SPAWNED)]
        return {one["pid"]: one for one in told}

    def worker_seen(self) -> Seen:
        """Through the queue, so only while redis-cache is there. Who gets a job is Celery's choice."""
        seen: Seen = {}

        def every_one() -> bool:
            self.send_jobs()
            seen.update(self.wait_for_jobs())
            return len(seen) == WORKERS

        wait_until(every_one, LATE, "every worker process does a job")
        return seen

    def wait_for_workers(self, jobs: int) -> None:
        """On a busy machine a worker process may apply a change after all web processes."""

        def all_have_it() -> bool:
            return {seen["jobs"] for seen in self.worker_seen().values()} == {jobs}

        wait_until(all_have_it, LATE, f"every worker process has {jobs} jobs")

    def send_jobs(self) -> None:
        self._answers.write_text("")
        with Celery(broker=self.broker, set_as_current=False) as app:
            for _ in range(self.JOBS):
                app.send_task("observe", args=[str(self._answers)], queue="housekeeping", retry=False)

    def wait_for_jobs(self) -> Seen:
        wait_until(lambda: self._answers.read_text().count("\n") == self.JOBS, LATE, "all jobs are done")
        told = [json.loads(line) for line in self._answers.read_text().splitlines()]
        return {one["pid"]: one for one in told}

    def is_paused(self) -> bool:
        """Return whether the worker replies that it starts no jobs."""
        with Celery(broker=self.broker, set_as_current=False) as app:
            replies = app.control.broadcast("stats", reply=True, timeout=3, limit=1)
        return any(stats["paused_queues"] for reply in replies for stats in reply.values())

    @property
    def redis_cache(self) -> RedisServer:
        return self.cache

    @property
    def broker(self) -> str:
        return self.redis_cache.url.removesuffix("0") + "1"

    def wait_for_web(self, holds: Callable[[dict[str, Any]], bool], what: str, seconds: float = SOON) -> None:
        """Wait until every web process has returned a state for which `holds` is true."""
        last: Seen = {}

        def all_hold() -> bool:
            last.update(self.web_seen())
            return len(last) == SPAWNED + FORKED and all(holds(one) for one in last.values())

        try:
            wait_until(all_hold, seconds, f"{what}, in every web process")
        except TimeoutError as error:
            error.add_note(str(last))
            raise

    def changed(self, jobs: int) -> int:
        """Return the version when every web process has it."""
        version = self.recorded(jobs)
        self.wait_for_web(lambda seen: (seen["jobs"], seen["version"]) == (jobs, version), f"{jobs} jobs")
        return version

    def recorded(self, jobs: int) -> int:
        """Return the recorded version, which Redis may not have yet."""
        reply = self.change(symbolicate_max_jobs=jobs)
        assert reply.status_code == 200, reply.text
        return int(reply.json()["version"])

    def change(self, **values: object) -> httpx.Response:
        """Change options by the API. Return the response, whatever its status."""
        texts = {name: None if value is None else str(value) for name, value in values.items()}
        return httpx.patch(
            f"{self.url}/api/config/",
            json={"changes": texts},
            headers={"Auth-Token": self.token},
            timeout=30,
        )

    def wait_for_value(self, jobs: bytes) -> None:
        """Wait until the value is in Redis."""
        with self.configuration() as configuration:
            wait_until(
                lambda: configuration.hget("config:values", "symbolicate_max_jobs") == jobs,
                SOON,
                f"{jobs!r} jobs in Redis",
            )

    @contextmanager
    def configuration(self) -> Iterator[redis.Redis]:
        """Return the configuration as `redis-cli -n 2` shows it."""
        with redis.Redis.from_url(self.redis_cache.url.removesuffix("0") + "2") as client:
            yield client

    def _ask(self, url: str) -> dict[str, Any]:
        with closing(HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
            connection.request("GET", "/observed")
            told: dict[str, Any] = json.load(connection.getresponse())
        return told


@contextmanager
def serving(fleet: Fleet, body: Any = SMALL) -> Iterator[None]:
    """Send requests to both web servers, and check that all are served."""
    requests = Requests(fleet, body)
    with requests.going():
        yield
    assert not requests.failures, requests.failures
    assert requests.answers > 0


class Requests:
    """Asks both web servers for an answer that needs no back end, one request after the other."""

    def __init__(self, fleet: Fleet, body: Any) -> None:
        self._fleet, self._body = fleet, body
        self._over = Event()
        self.failures: list[str] = []
        self.answers = 0

    @contextmanager
    def going(self) -> Iterator[None]:
        threads = [Thread(target=self._ask, args=[url]) for url in self._fleet.urls]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url, headers={"Connection": "close"}, timeout=10) as client:
            while not self._over.wait(0.01):
                try:
                    reply = client.post("/symbolicate/v5", json=self._body)
                except httpx.HTTPError as error:
                    self.failures.append(f"{url}: {error!r}")
                    continue
                self.answers += 1
                if reply.status_code != 200:
                    self.failures.append(f"{reply.status_code} {reply.text}")

"""Real jobs while worker processes and redis-cache are killed (kill -9) at random.

    python -m bench.jobs [--jobs 10000] [--kills 40] [--seed 1] [--seconds 0]
                         [--queue ours|stock|sweep] [--visibility 30] [--long 0]

Prints how many jobs were lost, how many ran more than once, and how late the latest one was: jobs of one
queue end in the order in which they were sent, so a job's delay is the time between its end and the end of
the jobs that were sent next to it.

A job appends its number to a file of its process, so a kill cannot remove the record of a job that is done.
redis-cache has the configuration that is shipped, with its append-only file; a kill of the server loses
nothing, whatever `appendfsync` is: the kernel has what was written.

`--queue` selects what returns the jobs of a killed worker:

* `ours`: tecken.jobs.transport and the heartbeat.
* `stock`: kombu's transport with a visibility timeout of `--visibility` seconds.
* `sweep`: the same, and every 10 seconds each job that is not done, that is in no list of the queue and that
  was sent more than 30 seconds ago is sent again. This treats every job as if it had a row in the database.

`--long` adds jobs that run for so many seconds each, one for each worker, without kills during them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import redis

from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "docker" / "images" / "redis-cache" / "redis.conf"
WORKERS = 2  # of two processes each
SWEEP_SECONDS = 10.0
RESEND_SECONDS = 30.0
NEIGHBOURS = 20
QUEUE = "convert"


class Site:
    """Workers, redis-cache and the jobs that were sent."""

    def __init__(self, home: Path, server: RedisServer, given: argparse.Namespace) -> None:
        self.home, self.server, self.given = home, server, given
        self.sent: dict[int, float] = {}
        self.resent = self.ended = 0
        self.is_disturbed = True
        self._swept = 0.0
        self.workers = [self._start() for _ in range(WORKERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        app = "tecken" if self.given.queue == "ours" else "bench.jobs_stock"
        command = [
            *(sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", app, "worker"),
            *("--loglevel", "error", "--concurrency", "2", "--include", "bench.jobs_numbered"),
            *("--without-mingle", "--without-gossip"),
        ]
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def send(self, numbers: Iterable[int], seconds: float) -> None:
        # The settings read the environment when they are imported.
        from tecken.celery import app  # noqa: PLC0415

        with app.connection_for_write() as connection:
            for number in numbers:
                app.send_task("numbered", [number, seconds], queue=QUEUE, connection=connection)
                self.sent[number] = time.time()

    def kill(self, kind: str, place: int, chance: random.Random) -> None:
        if kind == "server":
            self.server.kill()
            self.server.start()
        elif kind == "worker":
            self.kill_worker(place)
            self.workers[place] = self._start()
        elif children := children_of(self.workers[place].pid):
            os.kill(chance.choice(children), signal.SIGKILL)

    def kill_worker(self, place: int) -> None:
        os.killpg(self.workers[place].pid, signal.SIGKILL)
        self.workers[place].wait()

    def attend(self) -> None:
        """Restart workers that have ended, as a supervisor does, and run the sweep when it is due."""
        for place, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.ended += 1
                self.workers[place] = self._start()
        # None of the long jobs is lost, so the sweep has nothing to do for them.
        if (
            self.given.queue == "sweep"
            and self.is_disturbed
            and time.monotonic() - self._swept > SWEEP_SECONDS
        ):
            self._swept = time.monotonic()
            self._sweep()
        time.sleep(0.2)

    def _sweep(self) -> None:
        old = {number for number, at in self.sent.items() if at < time.time() - RESEND_SECONDS}
        # The queue is read first: a job that ends meanwhile is then done, and not lost.
        in_queue = self._in_queue()
        lost = sorted(old - in_queue - set(events(self.home, "done")))
        self.resent += len(lost)
        self.send(lost, self.given.seconds)

    def _in_queue(self) -> set[int]:
        with self.database() as queue:
            waiting = [json.loads(message) for message in queue.lrange(QUEUE, 0, -1)]
            unacked = [json.loads(document)[0] for document in queue.hvals("unacked")]
        return {json.loads(message["headers"]["argsrepr"])[0] for message in (*waiting, *unacked)}

    def database(self) -> redis.Redis:
        return redis.Redis.from_url(self.server.url.removesuffix("0") + "1")


def main() -> None:
    given = arguments()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="jobs-") as home, RedisServer(IMAGE) as server:
        os.environ.update(environment(server, Path(home), given))
        site = Site(Path(home), server, given)
        began = time.monotonic()
        try:
            site.send(range(given.jobs), given.seconds)
            kills = disturb(site, chance)
            wait(site, given.jobs)
            long = run_long(site) if given.long else None
        finally:
            for place in range(WORKERS):
                site.kill_worker(place)
        report(site, time.monotonic() - began, kills, long)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0, help="that a job takes")
    parser.add_argument("--queue", choices=("ours", "stock", "sweep"), default="ours")
    parser.add_argument("--visibility", type=float, default=30.0, help="timeout of kombu in seconds")
    parser.add_argument("--long", type=float, default=0.0, help="seconds that an additional job takes")
    return parser.parse_args()


def environment(server: RedisServer, home: Path, given: argparse.Namespace) -> dict[str, str]:
    return {
        "REDIS_URL": server.url,
        "REDIS_STORE_URL": server.url,
        "RUNTIME_CONFIG_WATCHER": "memory",
        "DATABASE_URL": f"sqlite:///{home}/db",
        "SECRET_KEY": "bench",
        "JOBS_HOME": str(home),
        "JOBS_VISIBILITY_TIMEOUT": str(given.visibility),
        "DJANGO_SETTINGS_MODULE": "tecken.settings",
    }


def disturb(site: Site, chance: random.Random) -> Counter[str]:
    """Kill a whole worker, one of its processes, or the server, spread over the jobs."""
    kills: Counter[str] = Counter()
    given = site.given
    for number in range(given.kills):
        while len(events(site.home, "done")) < given.jobs * (number + 1) // (given.kills + 2):
            site.attend()
        time.sleep(chance.random())
        kind, place = chance.choice(("worker", "process", "process", "server")), chance.randrange(WORKERS)
        kills[kind] += 1
        site.kill(kind, place, chance)
    return kills


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def events(home: Path, name: str) -> dict[int, list[float]]:
    """Return the times at which each job was `started` or `done`."""
    found: dict[int, list[float]] = {}
    for file in home.glob(f"{name}-*"):
        for line in file.read_text().splitlines():
            number, at = line.split()
            found.setdefault(int(number), []).append(float(at))
    return found


def wait(site: Site, jobs: int, patience: float = 120.0) -> None:
    """Wait until all jobs are done, or until none was for so long."""
    last, at = 0, time.monotonic()
    while (count := len(events(site.home, "done"))) < jobs and time.monotonic() - at < patience:
        if count != last:
            last, at = count, time.monotonic()
        site.attend()


def run_long(site: Site) -> list[int]:
    """Return how often each long job started."""
    numbers = range(site.given.jobs, site.given.jobs + WORKERS)
    site.send(numbers, site.given.long)
    site.is_disturbed = False
    wait(site, site.given.jobs + WORKERS, patience=site.given.long + 60)
    started = events(site.home, "started")
    return [len(started.get(number, [])) for number in numbers]


def delays(done: dict[int, float], jobs: int) -> list[float]:
    """Return how much later than its neighbours each job ended first."""
    ends = [done.get(number) for number in range(jobs)]
    found = []
    for number, end in enumerate(ends):
        near = [at for at in ends[max(0, number - NEIGHBOURS) : number + NEIGHBOURS] if at is not None]
        if end is not None:
            found.append(max(0.0, end - statistics.median(near)))
    return found


def report(site: Site, seconds: float, kills: Counter[str], long: list[int] | None) -> None:
    jobs = site.given.jobs
    every = {number: at for number, at in events(site.home, "done").items() if number < jobs}
    late = sorted(delays({number: min(at) for number, at in every.items()}, jobs))
    with site.database() as queue:
        dead = queue.hlen("jobs:dead")
    killed = ", ".join(f"{name} {number}" for name, number in sorted(kills.items()))
    print(f"queue {site.given.queue}; killed: {killed}; workers that ended by themselves {site.ended}")
    print(f"done {len(every):,} of {jobs:,}, lost {jobs - len(every):,}, dead letters {dead:,}")
    print(
        f"doubles {sum(map(len, every.values())) - len(every):,}, sent again {site.resent}, {seconds:.0f} s"
    )
    print(f"later than neighbours: {sum(at > 3 for at in late)} jobs by over 3 s, at most {late[-1]:.1f} s")
    if long is not None:
        print(f"jobs of {site.given.long:.0f} s were started {long} times")
    if len(every) < jobs:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Real jobs while worker processes and redis-cache are killed (kill -9) at random: all done, doubles counted.

    python -m bench.jobs [--jobs 10000] [--kills 40] [--seed 1]

A job adds its number to a file of its worker, so nothing that is killed can take a job that is done with it.
redis-cache has the configuration that is shipped, with its append-only file; a kill of the server loses
nothing, whatever `appendfsync` says: the kernel has what was written. Workers' hearts beat at the usual rate.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import redis

from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "docker" / "images" / "redis-cache" / "redis.conf"
WORKERS = 2  # of two processes each


def main() -> None:
    given = arguments()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="jobs-") as home, RedisServer(IMAGE) as server:
        os.environ.update(environment(server, Path(home)))
        began = time.monotonic()
        send(given.jobs)
        print(f"{given.jobs:,} jobs sent in {time.monotonic() - began:.1f} s")
        workers = [start(home) for _ in range(WORKERS)]
        began = time.monotonic()
        try:
            kills = disturb(Path(home), server, workers, given, chance)
            wait(Path(home), given.jobs)
        finally:
            for worker in workers:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
        report(Path(home), server, given.jobs, time.monotonic() - began, kills)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def environment(server: RedisServer, home: Path) -> dict[str, str]:
    return {
        "REDIS_URL": server.url,
        "REDIS_STORE_URL": server.url,
        "RUNTIME_CONFIG_WATCHER": "memory",
        "DATABASE_URL": f"sqlite:///{home}/db",
        "SECRET_KEY": "bench",
        "JOBS_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "tecken.settings",
    }


def send(jobs: int) -> None:
    from tecken.celery import app  # noqa: PLC0415 - only now is the environment there

    with app.connection_for_write() as connection:
        for number in range(jobs):
            app.send_task("numbered", [number], queue="convert", connection=connection)


def start(home: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", "tecken", "worker"),
        *("--loglevel", "error", "--concurrency", "2", "--include", "bench.jobs_numbered"),
        *("--without-mingle", "--without-gossip"),
    ]
    with (Path(home) / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def disturb(
    home: Path,
    server: RedisServer,
    workers: list[subprocess.Popen[bytes]],
    given: argparse.Namespace,
    chance: random.Random,
) -> Counter[str]:
    """Spread over the jobs: a whole worker, one of its processes, or the server."""
    kills: Counter[str] = Counter()
    for number in range(given.kills):
        while len(done(home)) < given.jobs * (number + 1) // (given.kills + 2):
            time.sleep(0.2)
        time.sleep(chance.random())
        which, place = chance.choice(("worker", "process", "process", "server")), chance.randrange(WORKERS)
        kills[which] += 1
        if which == "server":
            server.kill()
            server.start()
        elif which == "worker":
            os.killpg(workers[place].pid, signal.SIGKILL)
            workers[place].wait()
            workers[place] = start(str(home))
        elif children := children_of(workers[place].pid):
            os.kill(chance.choice(children), signal.SIGKILL)
    return kills


def children_of(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in told.read_text().split()] if told.exists() else []


def done(home: Path) -> Counter[int]:
    files = home.glob("done-*")
    return Counter(int(line) for file in files for line in file.read_text().splitlines())


def wait(home: Path, jobs: int, patience: float = 120.0) -> None:
    """Until all are done, or none was for so long."""
    last, at = 0, time.monotonic()
    while (now := len(done(home))) < jobs and time.monotonic() - at < patience:
        if now != last:
            last, at = now, time.monotonic()
        time.sleep(0.2)


def report(home: Path, server: RedisServer, jobs: int, seconds: float, kills: Counter[str]) -> None:
    counted = done(home)
    with redis.Redis.from_url(server.url.removesuffix("0") + "1") as queue:
        dead = queue.hlen("jobs:dead")
    killed = ", ".join(f"{name} {number}" for name, number in sorted(kills.items()))
    print(f"killed: {killed}")
    print(f"done {len(counted):,} of {jobs:,}, lost {jobs - len(counted):,}, dead letters {dead:,}")
    print(f"doubles {counted.total() - len(counted):,}, {seconds:.0f} s")
    if len(counted) < jobs:
        sys.exit(1)


if __name__ == "__main__":
    main()

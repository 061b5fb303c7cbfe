"""What requests, uploads and conversions cost each part of a site: `python -m bench.sizing FILE.sym`.

FILE.sym has the path <debug file>/<DEBUG ID>/<debug file>.sym. A web server of one process, a worker of one,
beat, two Redis servers and PostgreSQL run together. A cost is CPU time of processes, commands, queries and
bytes, each divided by the number of requests; so other work on the machine hardly changes it.
docs/scaling.md has the figures.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import httpx
import psycopg
import redis

from bench import rig
from bench.cold import WORKER
from tests.support.load import Module, archive, new_module
from tests.support.postgres import PostgresServer
from tests.support.sentinel import wait_until

BEAT = [sys.executable, "-m", "celery", "--quiet", "-A", "tecken", "beat", "--loglevel", "WARNING"]
FRAMES = 40
WARM, NEW, DOWNLOADS, SMALL, LARGE, COLD = 3_000, 200, 1_000, 100, 10, 10  # requests
IDLE_SECONDS = 30
LATE = 120.0  # seconds
HEAD = (
    "one",
    "CPU ms, web",
    "per s and web core",
    "CPU ms, worker",
    "per s and worker core",
    "commands, redis-cache",
    "commands, redis-store",
    "KiB in redis-store",
    "queries",
    "database bytes",
)
QUERIES = "SELECT sum(calls) FROM pg_stat_statements WHERE query !~* 'pg_stat_statements'"


class Counts(NamedTuple):
    """Totals so far: CPU seconds of web and worker, commands of both Redis servers, bytes in redis-store,
    queries and bytes of the database."""

    time: float
    web: float
    worker: float
    cache: float
    store: float
    memory: float
    queries: float
    database: float

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


class Site:
    """Running site, with what it has spent so far."""

    def __init__(self, environment: Mapping[str, str], port: int, pids: Mapping[str, int]) -> None:
        self.environment, self.pids = environment, pids
        self.connection = HTTPConnection("127.0.0.1", port, timeout=LATE)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LATE)
        self._cache = redis.Redis.from_url(environment["REDIS_URL"])
        self.store = redis.Redis.from_url(environment["REDIS_STORE_URL"])
        self._database = psycopg.connect(environment["DATABASE_URL"], autocommit=True)
        self._database.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self.idle = Counts(*[0.0] * len(Counts._fields))

    def counts(self) -> Counts:
        return Counts(
            time.monotonic(),
            rig.cpu_seconds(self.pids["web"]),
            rig.cpu_seconds(self.pids["worker"]),
            self._cache.info("stats")["total_commands_processed"],
            self.store.info("stats")["total_commands_processed"],
            self.store.info("memory")["used_memory"],
            self._number(QUERIES),
            self._number("SELECT pg_database_size(current_database())"),
        )

    def measure_idle(self) -> None:
        """Measure what the site spends without requests; `cost` leaves it out."""
        before = self.counts()
        time.sleep(IDLE_SECONDS)
        self.idle = self.counts() - before

    def cost(self, requests: int, act: Callable[[], None]) -> Counts:
        """Return what each of the requests of `act` cost."""
        before = self.counts()
        act()
        wait_until(self._is_idle, LATE, "all jobs are done")
        spent = self.counts() - before
        own = (
            value - idle * spent.time / self.idle.time for value, idle in zip(spent, self.idle, strict=True)
        )
        return Counts(*(max(0.0, value) / requests for value in own))

    def manage(self, *arguments: str) -> str:
        """Run a command and return its output."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.check_output(command, cwd=rig.ROOT, env=self.environment, text=True)

    def _is_idle(self) -> bool:
        queue = redis.Redis.from_url(self.environment["REDIS_URL"].removesuffix("0") + "1")
        return not any(queue.llen(name) for name in ("convert", "upload")) and not queue.hlen("unacked")

    def _number(self, query: str) -> float:
        row = self._database.execute(query).fetchone()
        return float(row[0] or 0) if row else 0.0


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    with (
        PostgresServer("shared_preload_libraries=pg_stat_statements") as database,
        rig.redis_pair(DATABASE_URL=database.url, SYMBOL_SOURCES=f"{folder.as_uri()}/") as environment,
    ):
        rig.configure(environment, absent_seconds=1)
        with (
            rig.web(environment, ",".join(map(str, os.sched_getaffinity(0)))) as (port, web),
            rig.process(WORKER, environment, quiet=True) as worker,
            rig.process(BEAT, environment, quiet=True) as beat,
        ):
            yield Site(environment, port, {"web": web, "worker": worker, "beat": beat})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    module = rig.Module(parser.parse_args().file.resolve())
    with TemporaryDirectory(prefix="bench-") as home:
        folder = Path(home)
        with running(folder) as site:
            measure(site, module, folder)


def measure(site: Site, module: rig.Module, folder: Path) -> None:
    token = site.manage(
        "createtoken", "a@example.com", "--permission", "upload.upload_symbols", "--create-user"
    )
    site.client.headers["Auth-Token"] = token.strip()
    functions, chance, numbers = module.functions(), random.Random(1), count(1)

    def stack(of: rig.Module) -> bytes:
        return rig.request(of.key, rig.frames(functions, FRAMES, chance))

    def symbolicate_cold() -> None:
        post(site, (stack(rig.clone(module, next(numbers), folder)) for _ in range(COLD)))

    start = memory(site.pids)
    symbolicate_cold()
    site.measure_idle()
    known = rig.clone(module, next(numbers), folder)
    bodies = [stack(known) for _ in range(20)]
    post(site, bodies)
    small = new_module()
    send(site, archive(small))
    rows = {
        "warm: 40 frames, rendered before": site.cost(
            WARM, lambda: post(site, (bodies[n % len(bodies)] for n in range(WARM)))
        ),
        "warm: 40 frames, each new": site.cost(NEW, lambda: post(site, (stack(known) for _ in range(NEW)))),
        f"cold: 40 frames of a module of {module.size / 1e6:.1f} MB": site.cost(COLD, symbolicate_cold),
        "download of 8 KB": site.cost(DOWNLOADS, lambda: download(site, small, DOWNLOADS)),
        "upload of one small file": site.cost(SMALL, lambda: upload_small(site)),
        f"upload of a file of {module.size / 1e6:.1f} MB": site.cost(
            LARGE, lambda: upload_large(site, module, numbers, folder)
        ),
    }
    report(site, rows, start)


def post(site: Site, bodies: Iterable[bytes]) -> None:
    # The server closes connections that were idle; the next request opens another.
    site.connection.close()
    for body in bodies:
        rig.post(site.connection, body)


def download(site: Site, module: Module, number: int) -> None:
    """Without a token, as debuggers and stackwalkers download."""
    site.connection.close()
    for _ in range(number):
        site.connection.request("GET", f"/{module.path}")
        response = site.connection.getresponse()
        if len(response.read()) != len(module.text):
            raise RuntimeError(f"{response.status} for {module.path}")


def upload_small(site: Site) -> None:
    for _ in range(SMALL):
        send(site, archive(new_module()))


def upload_large(site: Site, module: rig.Module, numbers: Iterator[int], folder: Path) -> None:
    for _ in range(LARGE):
        clone = rig.clone(module, next(numbers), folder)
        packed = io.BytesIO()
        with ZipFile(packed, "w", ZIP_DEFLATED) as members:
            members.write(clone.path, clone.path.relative_to(folder).as_posix())
        clone.path.unlink()
        send(site, packed.getvalue())


def send(site: Site, packed: bytes) -> None:
    site.client.post("/upload/", files={"a.zip": packed}).raise_for_status()


# Report


def memory(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the MiB of each process that it does not share, and its part of what it shares."""
    found = {}
    for name, pid in pids.items():
        for number, process in enumerate(rig.processes(pid)):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            pss = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            found[f"{name}, process {number}"] = pss / 1024
    return found


def report(site: Site, rows: Mapping[str, Counts], start: Mapping[str, float]) -> None:
    rig.table(HEAD, [[name, *cells(cost)] for name, cost in rows.items()])
    idle = Counts(*(value / site.idle.time for value in site.idle))
    print(
        f"\nidle, each second: {idle.web * 1e3:.1f} ms web, {idle.worker * 1e3:.1f} ms worker, "
        f"{idle.cache:.1f} commands on redis-cache, {idle.queries:.2f} queries"
    )
    end = memory(site.pids)
    rig.table(
        ["process", "MiB at the start", "MiB now"],
        [[name, f"{start.get(name, 0):.0f}", f"{size:.0f}"] for name, size in end.items()],
    )
    print(f"\nload average {os.getloadavg()[0]:.0f}")


def cells(cost: Counts) -> list[str]:
    def rate(seconds: float) -> str:
        return f"{1 / seconds:,.0f}" if seconds > 1e-5 else ""

    return [
        f"{cost.web * 1e3:.2f}",
        rate(cost.web),
        f"{cost.worker * 1e3:.1f}" if cost.worker > 5e-4 else "",
        rate(cost.worker) if cost.worker > 5e-4 else "",
        f"{cost.cache:.1f}",
        f"{cost.store:.1f}",
        f"{cost.memory / 1024:.1f}",
        f"{cost.queries:.1f}",
        f"{cost.database:,.0f}",
    ]


if __name__ == "__main__":
    main()

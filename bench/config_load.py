"""Load of the configuration on Redis, idle and at full load: `python -m bench.config_load`. It needs wrk.

Two web processes, and a Celery worker with two; MONITOR shows every command on database 2, which nothing else
uses.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import redis

from bench import rig
from bench.throughput import wrk, wrk_script
from tests.support.redis_server import free_port

SAMPLES = rig.ROOT / "tests" / "data" / "samples"
WEB_CPUS, WEB = "0,1", "2"
WORKER = [sys.executable, "-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"]
WORKER += ["--concurrency", "2"]
CONFIGURATION = 2  # the database


class Load(NamedTuple):
    """Commands of one period: `commands` on the configuration's database, by name; `elsewhere` on others."""

    seconds: float
    processes: int
    requests_per_second: float
    commands: Counter[str]
    elsewhere: int

    def per_process(self) -> float:
        return self.commands.total() / self.seconds / self.processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    seconds = parser.parse_args().seconds
    with TemporaryDirectory(prefix="bench-") as home:
        database = f"sqlite:///{home}/tecken.sqlite3"
        with rig.redis_pair(SYMBOL_SOURCES=f"file://{SAMPLES}/", DATABASE_URL=database) as environment:
            rig.enter(environment)
            with site(environment) as port:
                body = (SAMPLES / "stack.json").read_bytes()
                warm(port, body)
                script = wrk_script([body], Path(home))
                loads = {
                    "idle": during(environment, lambda: idle(seconds)),
                    "symbolication": during(environment, lambda: wrk(port, script, seconds).per_second),
                }
    report(loads)


@contextmanager
def site(environment: Mapping[str, str]) -> Iterator[int]:
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    port = free_port()
    ours = {**environment, "WEB_PORT": str(port), "WEB_PROCESSES": WEB}
    with ExitStack() as running:
        running.enter_context(rig.process(WORKER, environment, quiet=True))
        web = ["taskset", "-c", WEB_CPUS, sys.executable, "-m", "run.web"]
        running.enter_context(rig.process(web, ours, port))
        yield port


def warm(port: int, body: bytes) -> None:
    """Warm both web processes up, as far as chance allows."""
    for _ in range(50):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        rig.post(connection, body)
        connection.close()
    time.sleep(5)  # the worker's processes have started


def idle(seconds: int) -> float:
    time.sleep(seconds)
    return 0.0


def during(environment: Mapping[str, str], work: Callable[[], float]) -> Load:
    """`work` answers with its requests a second."""
    from tecken.runtimeconfig import current  # noqa: PLC0415 - reads the settings

    commands: list[tuple[int, str]] = []
    with redis.Redis.from_url(environment["REDIS_URL"]) as client, client.monitor() as monitor:
        threading.Thread(target=read, args=(monitor, commands), daemon=True).start()
        began = time.monotonic()
        rate = work()
        seconds = time.monotonic() - began
        seen = list(commands)
    ours = Counter(name for database, name in seen if database == CONFIGURATION)
    return Load(seconds, len(current.backend().reports()), rate, ours, len(seen) - ours.total())


def read(monitor: Any, commands: list[tuple[int, str]]) -> None:
    """(database, name) of each command that the server carries out, until the connection is closed."""
    with suppress(redis.RedisError, OSError, ValueError, AttributeError):
        for command in monitor.listen():
            commands.append((int(command["db"]), command["command"].split()[0].upper()))


def report(loads: Mapping[str, Load]) -> None:
    rows = []
    for name, load in loads.items():
        commands = ", ".join(f"{count} {command}" for command, count in load.commands.most_common())
        rows.append(
            [
                name,
                f"{load.requests_per_second:,.0f}",
                load.processes,
                f"{load.per_process():.2f}",
                f"{commands} in {load.seconds:.0f} s",
                f"{load.elsewhere / load.seconds:.1f}",
            ]
        )
    head = [
        "load",
        "requests/s",
        "processes",
        "commands per second and process",
        "which",
        "on other databases, /s",
    ]
    rig.table(head, rows)


if __name__ == "__main__":
    main()

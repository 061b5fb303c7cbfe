"""Time from a writer's call until a change is in force in 8 web processes and 2 of Celery.

    python -m bench.config_spread [--changes 1000] [--cases idle busy cut deaf]

idle; busy: each process also has a thread that never rests; cut: all subscribers are killed before each
change; deaf: the processes subscribe to a channel without publisher. A process notes the time in
`on_change`, in its watcher's thread, after the new values were put in force.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import redis

from bench import rig
from bench.picture import Range, range_chart
from tests.support.redis_server import free_port

PICTURE = rig.ROOT / "docs" / "pictures" / "spread.svg"
WEB, WORKERS = 8, 2
LATEST = 10.0  # seconds; a change that a process has not seen by then is missed
PAUSE = 0.1  # seconds between changes, at most: they fall anywhere in a watcher's second
PROGRAM = [sys.executable, "-m"]
FRONT = [*PROGRAM, "tecken.front", "bench.config_probe:front"]
CELERY = [*PROGRAM, "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"]
CELERY += ["--include", "bench.config_probe", "--concurrency", str(WORKERS)]


class Case(NamedTuple):
    what: str
    wanted: float  # seconds, p99
    environment: Mapping[str, str] = {}
    cut: bool = False


CASES = {
    "idle": Case("idle", 0.025),
    "busy": Case("every process CPU-bound", 0.1, {"CONFIG_BURN": "1"}),
    "cut": Case("all subscribers killed before each change", 1.1, cut=True),
    "deaf": Case("pub/sub messages dropped", 1.1, {"RUNTIME_CONFIG_CHANNEL": "nobody-publishes-here"}),
}


class Spread(NamedTuple):
    """Seconds, one for each change and process; `calls` until the writer's call came back."""

    seen: list[float]
    calls: list[float]
    missed: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bench-") as home:
        database = {"DATABASE_URL": f"sqlite:///{home}/tecken.sqlite3", "CONFIG_PROBE": f"{home}/probe"}
        with rig.redis_pair(**database) as environment, probe(f"{home}/probe") as ear:
            rig.enter(environment)
            migrate()
            spreads = {
                name: measured(CASES[name], environment, ear, options.changes) for name in options.cases
            }
    report(spreads)
    if set(spreads) == set(CASES):
        draw(spreads, options.picture)


def migrate() -> None:
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)


@contextmanager
def probe(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(path)
        yield ear


def measured(case: Case, environment: Mapping[str, str], ear: socket.socket, changes: int) -> Spread:
    with site({**environment, **case.environment}):
        processes = everyone(ear)
        spread, chance = Spread([], [], 0), random.Random(1)
        for number in range(changes):
            time.sleep(chance.uniform(0, PAUSE))
            if case.cut:
                cut(environment["REDIS_URL"])
            seen, call = one_change(ear, processes, 1 + number % 1000)
            spread.seen.extend(seen)
            spread.calls.append(call)
            spread = spread._replace(missed=spread.missed + len(processes) - len(seen))
    return spread


@contextmanager
def site(environment: Mapping[str, str]) -> Iterator[None]:
    web = {**environment, "WEB_PORT": str(free_port()), "WEB_PROCESSES": str(WEB)}
    with ExitStack() as running:
        running.enter_context(rig.process(FRONT, web, quiet=True))
        running.enter_context(rig.process(CELERY, environment, quiet=True))
        yield


def everyone(ear: socket.socket) -> set[str]:
    """Their process ids, once each has said what it starts with."""
    processes: dict[str, str] = {}
    ear.settimeout(60)
    while len(processes) < WEB + WORKERS:
        kind, process, *_ = heard(ear)
        processes[process] = kind
    kinds = sorted(processes.values())
    if kinds != ["web"] * WEB + ["worker"] * WORKERS:
        raise RuntimeError(f"started: {kinds}")
    time.sleep(2)  # subscriptions are made
    return set(processes)


def heard(ear: socket.socket) -> tuple[str, str, int, float]:
    kind, process, value, at = ear.recv(1000).decode().split()
    return kind, process, int(value), float(at)


def one_change(ear: socket.socket, processes: set[str], value: int) -> tuple[list[float], float]:
    """Return the seconds until each process has the change, and until the call returned."""
    from tecken.runtimeconfig import service  # noqa: PLC0415

    began = time.monotonic()
    service.change({"symbolicate_max_jobs": str(value)}, by="bench", source="cli")
    call = time.monotonic() - began
    seen: dict[str, float] = {}
    while len(seen) < len(processes) and (left := began + LATEST - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            _, process, what, at = heard(ear)
        except TimeoutError:
            break
        if what == value and process in processes:
            seen[process] = at - began
    return list(seen.values()), call


def cut(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.execute_command("CLIENT KILL", "TYPE", "pubsub")


def milliseconds(times: Sequence[float], share: float) -> str:
    return f"{rig.quantile(times, share) * 1e3:,.1f}"


def report(spreads: Mapping[str, Spread]) -> None:
    rows = []
    for name, spread in spreads.items():
        shown = (milliseconds(spread.seen, share) for share in (0.5, 0.99, 1))
        wanted = f"{CASES[name].wanted * 1e3:,.0f}"
        rows.append(
            [
                CASES[name].what,
                wanted,
                *shown,
                milliseconds(spread.calls, 0.5),
                len(spread.calls),
                spread.missed,
            ]
        )
    head = ["case", "p99 wanted, ms", "p50", "p99", "longest", "the writer's call, p50", "changes", "missed"]
    rig.table(head, rows)


def draw(spreads: Mapping[str, Spread], path: Path) -> None:
    ranges = [
        Range(
            CASES[name].what,
            rig.quantile(spread.seen, 0.5) * 1e3,
            rig.quantile(spread.seen, 0.99) * 1e3,
            max(spread.seen) * 1e3,
            CASES[name].wanted * 1e3,
        )
        for name, spread in spreads.items()
    ]
    title = "Milliseconds until a change is in force: half of all, 99 in 100, the longest; orange: must"
    range_chart(path, title, ranges)


if __name__ == "__main__":
    main()

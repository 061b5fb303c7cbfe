"""The first answer for modules never seen, and its steps: a local HTTP upstream, queue, and worker.

    python -m bench.cold [--rounds 5] [--largest-mb 1000]
    python -m bench.cold --kills 1000       no times: conversions are killed while requests wait for them
    python -m bench.cold --together 100     so many clients at once, and a slow upstream

Each round uses a copy of the module under another debug id, in a web process and a worker that run. The first
round of a worker stands in a row of its own. The times, in ms since the request was sent, are those of
commands on redis-cache (MONITOR), which all steps need anyway, and of the upstream.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, ClassVar, NamedTuple

import redis

from bench import rig
from bench.rig import cpu_seconds
from tests.system.cold_kills import kill_conversions

WORKER = [
    sys.executable,
    "-m",
    "celery",
    "-A",
    "tecken",
    "worker",
    "--concurrency",
    "1",
    "--loglevel",
    "WARNING",
]
READY_WITHIN = 60.0  # seconds
SLOW_SECONDS = 2.0
# The first command with this text, of those since the request was sent, is the end of the step.
STEPS = {
    "job sent": "LPUSH convert",
    "worker has it": "HINCRBY jobs:starts",
    "locked": "SET cold:turn:",
    "text read": "",
    "scanned": "SMEMBERS cold:wanted:",
    "frames published": "HSET cold:frames:",
    "answered": "",
    "page file complete": "SET cold:answer:",
    "acknowledged": "HDEL unacked ",
}


class Steps(NamedTuple):
    """Times of one round, in seconds since its request was sent."""

    at: dict[str, float]
    cpu_answered: float
    """CPU seconds of the worker until the request was answered."""
    cpu: float
    """The same until the job was acknowledged."""


class Upstream(SimpleHTTPRequestHandler):
    """Files of a directory, after a delay in seconds; `sent` has the time at which the last one was sent."""

    sent = 0.0
    delay = 0.0
    fetches: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.fetches.append(self.path)
        time.sleep(self.delay)
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        outputfile.flush()
        self.connection.sendfile(source)
        Upstream.sent = time.time()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Monitor:
    """Every command that redis-cache receives, with its time."""

    def __init__(self, url: str) -> None:
        self.commands: list[tuple[float, str]] = []
        Thread(target=self._run, args=[url], daemon=True).start()

    def _run(self, url: str) -> None:
        with suppress(redis.ConnectionError), redis.Redis.from_url(url).monitor() as monitor:  # type: ignore[no-untyped-call]
            for command in monitor.listen():
                self.commands.append((command["time"], command["command"]))

    def first(self, text: str, since: float) -> float:
        """Return the time of the first command that begins with `text`; NaN without one."""
        times = (at for at, command in tuple(self.commands) if at >= since and command.startswith(text))
        return next(times, float("nan"))


class Site(NamedTuple):
    connection: HTTPConnection
    monitor: Monitor
    worker: int
    folder: Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=rig.DATA)
    parser.add_argument("--largest-mb", type=float, default=1000.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--together", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.kills:
        report_kills(options.kills, options.seed)
        return
    modules = [module for module in rig.modules(options.data) if module.size <= options.largest_mb * 1e6]
    if options.together:
        with site() as running:
            report_together(running, modules[-1], options.together)
        return
    with site() as running:
        for module in reversed(modules):
            rounds = [measured(running, module, number) for number in range(options.rounds + 1)]
            report(module, rounds)


@contextmanager
def site() -> Iterator[Site]:
    with (
        TemporaryDirectory(prefix="bench-") as name,
        upstream(Path(name)) as url,
        rig.redis_pair(SYMBOL_SOURCES=url) as environment,
        rig.process(WORKER, environment) as worker,
    ):
        rig.configure(environment, symbolicate_deadline_seconds=120)
        with rig.web(environment, "0-3") as (port, _):
            connection = connect(port)
            monitor = Monitor(environment["REDIS_URL"])
            wait_for_worker(monitor)
            yield Site(connection, monitor, worker, Path(name))


@contextmanager
def upstream(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Upstream, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def wait_for_worker(monitor: Monitor) -> None:
    """Wait for a heartbeat of the worker."""
    deadline = time.monotonic() + READY_WITHIN
    while not monitor.first("HSET jobs:workers", 0) > 0:
        if time.monotonic() > deadline:
            raise TimeoutError("the worker does not start")
        time.sleep(0.1)


def measured(running: Site, original: rig.Module, number: int) -> Steps:
    """Request a copy of the module, and return the times of the steps."""
    module = rig.clone(original, number + random.randrange(1 << 28), running.folder)
    body = rig.request(module.key, rig.frames(module.functions(), 40, random.Random(number)))
    cpu = cpu_seconds(running.worker)
    Upstream.sent = float("nan")
    start = time.time()
    answer = rig.post(running.connection, body)
    answered, cpu_answered = time.time(), cpu_seconds(running.worker) - cpu
    if b'"function"' not in answer:
        raise RuntimeError(answer[:500])
    times = {"text read": Upstream.sent, "answered": answered}
    wait_until_idle(running.monitor, start)
    times |= {step: running.monitor.first(text, start) for step, text in STEPS.items() if text}
    module.path.unlink()
    at = {step: times[step] - start for step in STEPS}
    return Steps(at, cpu_answered, cpu_seconds(running.worker) - cpu)


def report_together(running: Site, original: rig.Module, clients: int) -> None:
    """Have many clients request the same cold module of a slow upstream."""
    Upstream.delay = SLOW_SECONDS
    measured(running, original, 1)
    module = rig.clone(original, random.randrange(1 << 28), running.folder)
    body = rig.request(module.key, rig.frames(module.functions(), 40, random.Random(1)))
    Upstream.fetches.clear()
    start = time.time()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: rig.post(connect(running.connection.port), body), range(clients)))
    seconds = time.time() - start
    complete = sum(b'"function"' in answer for answer in answers)
    rig.table(
        ("clients", "answers with functions", "fetches", "seconds until the last answer"),
        [[clients, complete, len(Upstream.fetches), f"{seconds:.1f}"]],
    )


def connect(port: int) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", port, timeout=120)


def wait_until_idle(monitor: Monitor, start: float) -> None:
    while not monitor.first(STEPS["acknowledged"], start) > 0:
        time.sleep(0.02)


def report(module: rig.Module, rounds: list[Steps]) -> None:
    print(f"\n{module.path.name}, {module.size / 1e6:.0f} MB, {len(rounds) - 1} rounds")
    first, *later = rounds
    rows = [row("first job", [first]), row("median", later)]
    rig.table(["ms", *STEPS, "CPU until answered", "CPU"], rows)


def report_kills(kills: int, seed: int) -> None:
    with TemporaryDirectory(prefix="bench-") as home:
        outcome = kill_conversions(Path(home), kills, seed)
    for name, counts in (("killed", outcome.killed), ("answers", outcome.answers)):
        print(f"{name}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}")
    print(f"wrong or partial: {len(outcome.wrong)}", *outcome.wrong, sep="\n")


def row(name: str, rounds: list[Steps]) -> list[str]:
    medians = (rig.median([steps.at[step] for steps in rounds]) for step in STEPS)
    cpu = (rig.median(values) for values in zip(*((it.cpu_answered, it.cpu) for it in rounds), strict=True))
    return [name, *(f"{1e3 * value:.0f}" for value in (*medians, *cpu))]


if __name__ == "__main__":
    main()

"""The web server under slow clients: warm requests with and without them, beside another WSGI server.

    python -m bench.front                      throughput, then each kind of slow client
    python -m bench.front --only throughput    against granian (`pip install granian`), which has no deadlines

A thousand clients send headers slowly, send a body slowly, or do not read a large response, while `wrk` sends
warm symbolication requests over 8 connections. They are connected before the measurement begins. One web
process on one core, the load on another.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from bench import rig
from bench.throughput import Rate, wrk, wrk_script
from tests.support.redis_server import free_port

CLIENTS = ("headers", "bodies", "readers")
SERVER_CPU = "0"
DEBUG_ID = "000000000000000000000000000000AA0"
FUNCTIONS = 40_000  # 45 MB of text: more than the kernel's socket buffers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["throughput", *CLIENTS])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, rig.redis_pair() as environment:
        module = synthetic_module(Path(folder))
        environment["SYMBOL_SOURCES"] = f"{Path(folder).as_uri()}/"
        rig.configure(environment, symbolicate_max_jobs=10)
        rig.enter(environment)
        rig.convert(module)
        chance = random.Random(1)
        functions = module.functions()
        bodies = [rig.request(module.key, rig.frames(functions, 40, chance)) for _ in range(20)]
        script = wrk_script(bodies, Path(folder))
        if options.only in (None, "throughput"):
            report_throughput(environment, script, options.seconds, options.rounds)
        rows = [
            slow(kind, environment, script, module, options)
            for kind in CLIENTS
            if options.only in (None, kind)
        ]
        if rows:
            head = [
                "1,000 slow",
                "p50 / p99 ms without",
                "with",
                "times p99",
                "disconnected",
                "MiB before / peak",
            ]
            rig.table(head, rows)


def synthetic_module(folder: Path) -> rig.Module:
    """Write a symbol file with inlined calls; every run has the same one."""
    chance = random.Random(1)
    lines = [f"MODULE Linux x86_64 {DEBUG_ID} synthetic.so"]
    lines += [f"FILE {i} /build/src/component/file{i}.cpp" for i in range(300)]
    lines += [
        f"INLINE_ORIGIN {i} library::detail::inlined_{i}(unsigned int, std::string const&)"
        for i in range(3000)
    ]
    for i in range(FUNCTIONS):
        start = 0x1000 + i * 0x100
        lines.append(f"FUNC {start:x} 100 0 library::SomeClass::member_{i}(int, char const*, Result&)")
        lines += [
            f"INLINE {depth} {chance.randrange(900)} {chance.randrange(300)} {chance.randrange(3000)} "
            f"{start + 16 * depth:x} {0xF0 - 32 * depth:x}"
            for depth in range(3)
        ]
        lines += [
            f"{start + at * 16:x} 10 {chance.randrange(2000)} {chance.randrange(300)}" for at in range(16)
        ]
    path = folder / "synthetic.so" / DEBUG_ID / "synthetic.so.sym"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    return rig.Module(path)


def report_throughput(environment: Mapping[str, str], script: Path, seconds: int, rounds: int) -> None:
    servers = {"tecken.front": front} | ({"granian, WSGI, 8 threads": granian} if has_granian() else {})
    rates: dict[str, list[tuple[Rate, float]]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, serve in servers.items():
            with serve(environment) as (port, pid):
                wrk(port, script, 3)
                spent = rig.cpu_seconds(pid)
                rate = wrk(port, script, seconds)
                rates[name].append((rate, (rig.cpu_seconds(pid) - spent) / (rate.per_second * seconds)))
    rows = []
    for name, some in rates.items():
        rate = Rate(*map(rig.median, zip(*(one for one, _ in some), strict=True)))
        cpu = rig.median([one for _, one in some])
        rows.append(
            [name, f"{rate.per_second:,.0f}", f"{1000 * cpu:.3f}", f"{rate.p50:.1f}", f"{rate.p99:.1f}"]
        )
    rig.table(["warm, 8 connections", "requests/s", "CPU ms a request", "p50 ms", "p99 ms"], rows)


def has_granian() -> bool:
    return importlib.util.find_spec("granian") is not None


@contextmanager
def front(environment: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    port = free_port()
    ours = {**environment, "WEB_PORT": str(port), "WEB_PROCESSES": "1"}
    command = ["taskset", "-c", SERVER_CPU, sys.executable, "-m", "tecken.front"]
    with rig.process(command, ours, port) as pid:
        wait_until_live(port)
        yield port, pid


@contextmanager
def granian(environment: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    port = free_port()
    arguments = [
        *rig.GRANIAN,
        "--blocking-threads",
        "8",
        "--port",
        str(port),
        "tecken.application:application",
    ]
    command = ["taskset", "-c", SERVER_CPU, sys.executable, "-m", *arguments]
    with rig.process(command, environment, port) as pid:
        wait_until_live(port)
        yield port, pid


def wait_until_live(port: int) -> None:
    """Wait for the web process: its socket is bound before it has imported the site."""
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        client.recv(100)


def slow(
    kind: str, environment: Mapping[str, str], script: Path, module: rig.Module, options: argparse.Namespace
) -> list[str]:
    """Measure warm requests alone, then beside slow clients. Return a row of the table."""
    with front(environment) as (port, pid):
        wrk(port, script, 3)
        alone = wrk(port, script, options.seconds)
        before = memory(pid)
        path = f"/{'/'.join(module.key)}/{module.path.name}"
        with slow_clients(kind, port, options.clients, path) as outcome, peak_memory(pid) as peak:
            # The kernel's buffers of a thousand connections are filled first, which is work like any other.
            time.sleep(4)
            beside = wrk(port, script, options.seconds)
            outcome.wait()
        return [
            kind,
            f"{alone.p50:.1f} / {alone.p99:.1f}",
            f"{beside.p50:.1f} / {beside.p99:.1f}",
            f"{beside.p99 / alone.p99:.1f}",
            str(outcome),
            f"{before} / {peak[0]}",
        ]


class Running:
    """Slow clients in a process of their own, so that they share no interpreter with the measurement."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._outcome = ""

    def wait(self) -> None:
        self._outcome = self._process.communicate(timeout=120)[0].splitlines()[-1]

    def __str__(self) -> str:
        return self._outcome


@contextmanager
def slow_clients(kind: str, port: int, count: int, path: str) -> Iterator[Running]:
    command = [
        "taskset",
        "-c",
        "1",
        sys.executable,
        "-m",
        "bench.front_clients",
        kind,
        str(port),
        str(count),
        path,
    ]
    process = subprocess.Popen(command, cwd=rig.ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()  # all are connected
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def memory(pid: int) -> int:
    """MiB that the processes have for themselves."""
    return sum(anonymous(one) for one in rig.processes(pid)) >> 10


def anonymous(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return 0


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    peak, stop = [0], Event()

    def watch() -> None:
        while not stop.wait(0.2):
            peak[0] = max(peak[0], memory(pid))

    watching = Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        stop.set()
        watching.join()


if __name__ == "__main__":
    main()

"""Tecken beside samply and Symbolicator, in one run: `python -m bench.peers`.

Needs wrk and `cargo install samply --version 0.13.1`. SAMPLY and SYMBOLICATOR name the programs; a server
whose program is missing is left out. Warm servers run on the first core, and the clients on the second. The
servers take turns, and each figure is the median of the rounds. CPU time is that of all processes of a
server.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from bench import rig
from bench.peer_servers import Peer, Server, present_peers
from bench.throughput import wrk, wrk_script
from tests.support.redis_server import free_port

FRAMES = 40
WARM_BODIES, SPREAD_BODIES = 20, 2000
# So many frames do not fit into the cache of frames, so that each of them is new.
NEW_BODIES = 8000
CACHE_BYTES = 64 << 20  # of each process cache


class Load(NamedTuple):
    """Figures of one server under load. Times are in milliseconds, memory in MiB."""

    rate: float
    cpu: float
    p50: float
    p99: float
    peak: float


class First(NamedTuple):
    """A first answer: the seconds until the client had it, and the CPU seconds of the server until then."""

    seconds: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--only", choices=("warm", "spread", "cold", "fresh"), nargs="+", help="default: all")
    options = parser.parse_args()
    large, small = rig.modules()[0], rig.modules()[-1]
    with rig.redis_pair() as environment, TemporaryDirectory(prefix="peers-") as folder:
        rig.configure(
            environment,
            process_header_bytes=CACHE_BYTES,
            process_page_bytes=CACHE_BYTES,
            process_frame_bytes=CACHE_BYTES,
        )
        rig.enter(environment)
        for module in (large, small):
            rig.convert(module)
            rig.fill_store(module)
        peers = present_peers(environment)
        homes = {peer.name: Path(folder, peer.name) for peer in peers}
        for home in homes.values():
            home.mkdir()
        run = _Run(peers, homes, options.rounds, options.seconds, Path(folder))
        wanted = options.only or ("warm", "spread", "cold", "fresh")
        if "warm" in wanted:
            for module in (large, small):
                run.report_load(f"warm, {_label(module)}", module, WARM_BODIES, 8)
            run.report_load(f"warm, 64 connections, {_label(large)}", large, WARM_BODIES, 64)
        if "spread" in wanted:
            for count in (SPREAD_BODIES, NEW_BODIES):
                run.report_load(f"{count:,} bodies, {_label(large)}", large, count, 8)
        if "fresh" in wanted:
            run.report_fresh(f"fresh process, everything kept, {_label(large)}", large)
        if "cold" in wanted:
            for module in (large, small):
                run.report_cold(f"never seen, {_label(module)}", module)


def _label(module: rig.Module) -> str:
    return f"{module.key[0]}, {module.size / 1e6:.0f} MB"


F = TypeVar("F", Load, First)


class _Run:
    def __init__(
        self, peers: Sequence[Peer], homes: Mapping[str, Path], rounds: int, seconds: int, folder: Path
    ) -> None:
        self._peers = peers
        self._homes = homes
        self._rounds = rounds
        self._seconds = seconds
        self._folder = folder

    def report_load(self, title: str, module: rig.Module, count: int, connections: int) -> None:
        """Print requests per second, CPU per request, latency and memory, warm."""
        functions, chance = module.functions(), random.Random(1)
        stacks = [rig.frames(functions, FRAMES, chance) for _ in range(count)]

        def measure(peer: Peer) -> Load:
            bodies = [peer.body(module.key, stack) for stack in stacks]
            with peer.serve(self._homes[peer.name]) as server:
                return _load(server, bodies, self._folder, self._seconds, connections)

        rows = [
            [
                name,
                f"{load.rate:,.0f}",
                f"{load.cpu:.3f}",
                f"{load.p50:.1f}",
                f"{load.p99:.1f}",
                f"{load.peak:.0f}",
            ]
            for name, load in self._medians(measure, Load)
        ]
        _print(title, ["server", "requests/s", "CPU ms", "p50 ms", "p99 ms", "peak MiB"], rows)

    def report_fresh(self, title: str, module: rig.Module) -> None:
        """Print the first answer of a process that has just started, with everything kept elsewhere."""
        stack = rig.frames(module.functions(), FRAMES, random.Random(1))

        def measure(peer: Peer) -> First:
            with peer.serve(self._homes[peer.name]) as server:
                return _first(server, peer.body(module.key, stack))

        rows = [[name, f"{1e3 * first.seconds:.1f}"] for name, first in self._medians(measure, First)]
        _print(title, ["server", "first answer ms"], rows)

    def report_cold(self, title: str, module: rig.Module) -> None:
        """Print the first answer for a module that is on an HTTP upstream and nowhere else."""
        stack = rig.frames(module.functions(), FRAMES, random.Random(1))

        def measure(peer: Peer) -> First:
            with (
                _upstream() as upstream,
                TemporaryDirectory(dir=self._folder) as home,
                peer.serve(Path(home), upstream) as server,
            ):
                return _first(server, peer.body(module.key, stack))

        rows = [
            [name, f"{first.seconds:.3f}", f"{first.cpu:.2f}"]
            for name, first in self._medians(measure, First)
        ]
        _print(title, ["server", "first answer s", "CPU s until then"], rows)

    def _medians(self, measure: Callable[[Peer], F], kind: type[F]) -> Iterator[tuple[str, F]]:
        seen: dict[str, list[F]] = {peer.name: [] for peer in self._peers}
        for _ in range(self._rounds):
            for peer in self._peers:
                seen[peer.name].append(measure(peer))
        for name, rounds in seen.items():
            yield name, kind(*map(statistics.median, zip(*rounds, strict=True)))


def _load(server: Server, bodies: Sequence[bytes], folder: Path, seconds: int, connections: int) -> Load:
    # Every body is answered at least once before the measurement.
    connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
    for body in bodies:
        _post(connection, server, body)
    before = server.cpu()
    rate = wrk(server.port, wrk_script(bodies, folder, server.path), seconds, connections)
    cpu = 1e3 * (server.cpu() - before) / (rate.per_second * seconds)
    return Load(rate.per_second, cpu, rate.p50, rate.p99, server.peak())


def _first(server: Server, body: bytes) -> First:
    before, start = server.cpu(), time.perf_counter()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
    answer = _post(connection, server, body)
    seconds = time.perf_counter() - start
    if answer.count(b'"function"') < FRAMES // 2:
        raise RuntimeError(answer[:500])
    return First(seconds, server.cpu() - before)


def _post(connection: HTTPConnection, server: Server, body: bytes) -> bytes:
    connection.request("POST", server.path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {content[:500]!r}")
    return content


@contextmanager
def _upstream() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    command = [*command, "--directory", str(rig.DATA.resolve())]
    with rig.process(command, os.environ, port, quiet=True):
        yield f"http://127.0.0.1:{port}"


def _print(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print(f"\n## {title}")
    rig.table(head, rows)


if __name__ == "__main__":
    main()

"""The servers that bench.peers compares, and what they cost: CPU time and memory of all their processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.request import urlopen

import redis

from bench import rig
from bench.cold import WORKER
from tests.support.redis_server import free_port

WARM_CPU, ALL_CPUS = "0", "0-3"
QUEUE_DATABASE, WORKERS_KEY = 1, "jobs:workers"
PROFILE = {
    "meta": {
        "version": 24,
        "interval": 1,
        "startTime": 0,
        "processType": 0,
        "product": "bench",
        "stackwalk": 1,
        "preprocessedProfileVersion": 44,
        "categories": [{"name": "Other", "color": "grey", "subcategories": ["Other"]}],
        "markerSchema": [],
    },
    "libs": [],
    "threads": [],
    "pages": [],
    "counters": [],
}


class Server(NamedTuple):
    """A running server: its port, the path of requests, and the processes whose CPU time counts."""

    port: int
    path: str
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """Return the CPU seconds of all processes, with their children."""
        return sum(map(rig.cpu_seconds, self.pids))

    def peak(self) -> float:
        """Return the sum of the largest resident sets, in MiB."""
        return sum(_peak(pid) for root in self.pids for pid in rig.processes(root))


class Peer(Protocol):
    """Kind of server."""

    name: str

    def serve(self, home: Path, upstream: str = "") -> AbstractContextManager[Server]:
        """Run the server with its caches in `home`.

        Symbols come from bench/data, or over HTTP from `upstream`.
        """
        ...

    def body(self, key: rig.Key, offsets: Sequence[int]) -> bytes:
        """Return a request with one stack."""
        ...


class Tecken:
    """Our server: one web process and, for cold modules, one worker."""

    name = "Tecken"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @contextmanager
    def serve(self, home: Path, upstream: str = "") -> Iterator[Server]:  # noqa: ARG002
        """Run the server. With an upstream, both Redis servers and the storage are empty at the start."""
        with ExitStack() as stack:
            environment, others = self._environment, []
            if upstream:
                environment = stack.enter_context(rig.redis_pair(SYMBOL_SOURCES=f"{upstream}/"))
                rig.configure(environment, symbolicate_deadline_seconds=120)
                others = [stack.enter_context(rig.process(WORKER, environment))]
            port, pid = stack.enter_context(rig.web(environment, _cpus(upstream)))
            if upstream:
                _wait_for_worker(environment)
            yield Server(port, "/symbolicate/v5", (pid, *others))

    def body(self, key: rig.Key, offsets: Sequence[int]) -> bytes:
        """Return a request of version 5."""
        return rig.request(key, offsets)


class Samply:
    """samply's server of the Firefox Profiler, https://github.com/mstange/samply."""

    name = "samply"

    def __init__(self, program: str) -> None:
        self._program = program

    @contextmanager
    def serve(self, home: Path, upstream: str = "") -> Iterator[Server]:
        """Run the server with its cache below `home`."""
        port, profile = free_port(), home / "profile.json"
        profile.write_text(json.dumps(PROFILE))
        symbols = (
            ["--breakpad-symbol-server", upstream]
            if upstream
            else ["--breakpad-symbol-dir", str(rig.DATA.resolve())]
        )
        command = [self._program, "load", str(profile), "--no-open", "-P", str(port), *symbols]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG")}
        with _program(
            command, environment | {"HOME": str(home)}, _cpus(upstream), port, signal.SIGINT
        ) as pid:
            yield Server(port, f"{_token_path(port)}/symbolicate/v5", (pid,))

    def body(self, key: rig.Key, offsets: Sequence[int]) -> bytes:
        """Return a request of version 5."""
        return rig.request(key, offsets)


class Symbolicator:
    """Sentry's server, https://github.com/getsentry/symbolicator."""

    name = "Symbolicator"

    def __init__(self, program: str) -> None:
        self._program = program

    @contextmanager
    def serve(self, home: Path, upstream: str = "") -> Iterator[Server]:
        """Run the server with its cache below `home`."""
        port = free_port()
        place = (
            {"type": "http", "url": upstream}
            if upstream
            else {"type": "filesystem", "path": str(rig.DATA.resolve())}
        )
        source = {
            "id": "local",
            **place,
            "layout": {"type": "native"},
            "filters": {"filetypes": ["breakpad"]},
        }
        config = {
            "bind": f"127.0.0.1:{port}",
            "cache_dir": str(home / "cache"),
            "logging": {"level": "error"},
            "connect_to_reserved_ips": True,
            "enable_cache_cleanup": False,
            "sources": [source | {"is_public": True}],
        }
        (home / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        command = [self._program, "-c", str(home / "config.yml"), "run"]
        with _program(command, os.environ, _cpus(upstream), port, signal.SIGTERM) as pid:
            yield Server(port, "/symbolicate", (pid,))

    def body(self, key: rig.Key, offsets: Sequence[int]) -> bytes:
        """Return a request of Symbolicator's own form."""
        debug_file, debug_id = key
        frames = [
            {"instruction_addr": hex(offset), "addr_mode": "rel:0", "adjust_instruction_addr": False}
            for offset in offsets
        ]
        module = {
            "type": "elf",
            "debug_id": debug_id,
            "code_id": debug_id[:-1].lower(),
            "code_file": debug_file,
            "debug_file": debug_file,
            "image_addr": "0x0",
            "image_size": (1 << 31) - 1,
        }
        options = {"dif_candidates": False, "apply_source_context": False}
        request = {
            "platform": "native",
            "stacktraces": [{"frames": frames}],
            "modules": [module],
            "options": options,
        }
        return json.dumps(request).encode()


def present_peers(environment: Mapping[str, str]) -> list[Peer]:
    """Return the servers whose programs are here, ours first."""
    peers: list[Peer] = [Tecken(environment)]
    if program := shutil.which(os.environ.get("SAMPLY", "samply")):
        peers.append(Samply(program))
    if program := shutil.which(os.environ.get("SYMBOLICATOR", "symbolicator")):
        peers.append(Symbolicator(program))
    return peers


@contextmanager
def _program(
    command: Sequence[str], environment: Mapping[str, str], cpus: str, port: int, end: signal.Signals
) -> Iterator[int]:
    pinned = ["taskset", "-c", cpus, *command]
    running = subprocess.Popen(pinned, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        rig.wait_for(port, running)
        yield running.pid
    finally:
        running.send_signal(end)
        rig.stop(running)


def _cpus(upstream: str) -> str:
    """Return the CPUs of a server: all of them for a cold module, which ours converts in another process."""
    return ALL_CPUS if upstream else WARM_CPU


def _token_path(port: int) -> str:
    """Return the path with samply's secret token, which its page has."""
    with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
        match = re.search(r"(/\w{20,})/symbolicate/v5", page.read().decode())
    if match is None:
        raise RuntimeError("samply's page has no path of its symbol server")
    return match[1]


def _wait_for_worker(environment: Mapping[str, str]) -> None:
    deadline = time.monotonic() + rig.STARTS_WITHIN
    with redis.Redis.from_url(environment["REDIS_URL"], single_connection_client=True) as queue:
        queue.select(QUEUE_DATABASE)
        while not queue.exists(WORKERS_KEY):
            if time.monotonic() > deadline:
                raise RuntimeError("the worker did not start")
            time.sleep(0.05)
    time.sleep(1)  # until it reads its queues


def _peak(pid: int) -> float:
    with suppress(OSError):
        match = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(match[1]) / 1024 if match else 0.0
    return 0.0

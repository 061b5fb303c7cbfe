"""Requests a second over HTTP: 40 frames of the largest module, warm, one worker process on one core.

Ours and an application that reads a SymCache per request, behind the same front, take turns. --servers
compares other web servers instead, if they are installed. Needs wrk, which runs on the other cores.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import orjson

from bench import rig
from tests.support.redis_server import free_port

CPU = "0"
BIN = Path(sys.executable).parent
OURS = "tecken.wsgi:application"
BASELINE = "bench.eliot_baseline:application"
SERVERS: dict[str, list[str]] = {
    "granian, 1 thread": [*rig.GRANIAN, "--blocking-threads", "1", "--port", "{port}"],
    "granian, 4 threads": [*rig.GRANIAN, "--blocking-threads", "4", "--port", "{port}"],
    "gunicorn sync": ["gunicorn", "-w", "1", "-b", "127.0.0.1:{port}"],
    "gunicorn gthread": ["gunicorn", "-w", "1", "-k", "gthread", "--threads", "4", "-b", "127.0.0.1:{port}"],
    "gunicorn gevent": ["gunicorn", "-w", "1", "-k", "gevent", "-b", "127.0.0.1:{port}"],
    "uwsgi": [
        "uwsgi",
        "--http11-socket",
        "127.0.0.1:{port}",
        "-p",
        "1",
        "--master",
        "--disable-logging",
        "-w",
    ],
    "waitress": ["waitress-serve", "--listen", "127.0.0.1:{port}"],
}
SCRIPT = """
local bodies, n, requests = {%s}, 0, {}
init = function()
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", "%s", {["Content-Type"] = "application/json"}, body)
  end
end
request = function()
  n = n %% #requests + 1
  return requests[n]
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "errors": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
Serving = Callable[[], AbstractContextManager[int]]


class Rate(NamedTuple):
    per_second: float
    p50: float  # milliseconds
    p99: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", action="store_true")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--stacks", type=int, default=20, help="different requests")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    module = rig.modules()[0]
    functions, chance = module.functions(), random.Random(1)
    bodies = [
        rig.request(module.key, rig.frames(functions, options.frames, chance)) for _ in range(options.stacks)
    ]
    with rig.redis_pair() as environment, TemporaryDirectory() as folder:
        rig.enter(environment)
        rig.convert(module)
        script = wrk_script(bodies, Path(folder))
        named = (
            web_servers(environment) if options.servers else ours_and_baseline(environment, module, folder)
        )
        rates = {name: [] for name in named}  # type: dict[str, list[Rate]]
        for _ in range(options.rounds):
            for name, serving in named.items():
                rates[name].append(measured(serving, script, options.seconds))
    report(rates)


def ours_and_baseline(environment: Mapping[str, str], module: rig.Module, folder: str) -> dict[str, Serving]:
    from bench.eliot_baseline import make_symcache  # noqa: PLC0415 - sets Django up

    make_symcache(module.path, Path(folder))
    baseline = {**environment, "SYMCACHES": folder}
    return {
        "SymCache from disk per request": lambda: front(BASELINE, baseline),
        "tecken": lambda: front(OURS, environment),
    }


@contextmanager
def front(application: str, environment: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    variables = {**environment, "WEB_PORT": str(port), "WEB_PROCESSES": "1"}
    command = ["taskset", "-c", CPU, sys.executable, "-m", "tecken.front", application]
    with rig.process(command, variables, port):
        yield port


def web_servers(environment: Mapping[str, str]) -> dict[str, Serving]:
    def serving(command: Sequence[str]) -> Serving:
        return lambda: serve([*command, OURS], environment)

    return {
        name: serving(command) for name, command in SERVERS.items() if (BIN / command[0]).exists()
    } or sys.exit(f"none of the other web servers is installed in {BIN}")


@contextmanager
def serve(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    program, *arguments = [word.format(port=port) for word in command]
    with rig.process(["taskset", "-c", CPU, str(BIN / program), *arguments], environment, port):
        yield port


def wrk_script(bodies: Sequence[bytes], folder: Path, address: str = "/symbolicate/v5") -> Path:
    path = folder / "requests.lua"
    texts = ",".join(f"[==[{body.decode()}]==]" for body in bodies)
    path.write_text(SCRIPT % (texts, address))
    return path


def measured(serving: Serving, script: Path, seconds: int) -> Rate:
    with serving() as port:
        wrk(port, script, 3)
        return wrk(port, script, seconds)


def wrk(port: int, script: Path, seconds: int, connections: int = 8) -> Rate:
    command = ["taskset", "-c", "1-3", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    command += ["--latency", "-s", str(script), f"http://127.0.0.1:{port}"]
    out = subprocess.check_output(command, text=True)
    said = orjson.loads(out.splitlines()[-1])
    if said["errors"]:
        raise RuntimeError(out)
    return Rate(said["requests"] / said["seconds"], said["p50"], said["p99"])


def report(rates: Mapping[str, Sequence[Rate]]) -> None:
    medians = {name: Rate(*map(rig.median, zip(*seen, strict=True))) for name, seen in rates.items()}
    first = next(iter(medians.values())).per_second
    rows = [
        [
            name,
            f"{rate.per_second:,.0f}",
            f"{rate.per_second / first:.1f}",
            f"{rate.p50:.2f}",
            f"{rate.p99:.2f}",
        ]
        for name, rate in medians.items()
    ]
    rig.table(["server", "requests/s", "times the first", "p50 ms", "p99 ms"], rows)


if __name__ == "__main__":
    main()

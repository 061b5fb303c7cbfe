"""Cost of telemetry: requests per second as in bench.throughput, with each kind in turn.

One web process on one core, 40 frames of the largest module, warm. Lines go nowhere; spans to a collector
on the other cores that throws them away. Needs wrk.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import rig
from bench.throughput import CPU, Rate, measured, report, wrk_script
from tests.support.redis_server import free_port


class Way(NamedTuple):
    log_requests: str
    environment: Mapping[str, str]


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    module, chance = rig.modules()[0], random.Random(1)
    functions = module.functions()
    bodies = [rig.request(module.key, rig.frames(functions, 40, chance)) for _ in range(20)]
    with rig.redis_pair() as environment, TemporaryDirectory() as folder, collector() as endpoint:
        rig.configure(environment, log_requests="off")
        rig.enter(environment)
        rig.convert(module)
        script = wrk_script(bodies, Path(folder))
        named = ways(endpoint)
        rates: dict[str, list[Rate]] = {name: [] for name in named}
        for _ in range(options.rounds):
            for name, way in named.items():
                rig.configure(environment, log_requests=way.log_requests)
                theirs = {**environment, **way.environment}
                rates[name].append(measured(lambda: serving(theirs), script, options.seconds))  # noqa: B023
    report(rates)


def ways(endpoint: str) -> dict[str, Way]:
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    some = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    return {
        "as it is": Way("off", {}),
        "log_requests, LOG_FORMAT=line": Way("on", {}),
        "log_requests, LOG_FORMAT=json": Way("on", {"LOG_FORMAT": "json"}),
        "log_requests of 1%": Way("1%", {}),
        "every request traced": Way("off", traced),
        "1% of requests traced": Way("off", {**traced, **some}),
        "SENTRY_DSN set": Way("off", {"SENTRY_DSN": endpoint.replace("//", "//key@") + "/1"}),
    }


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    ours = {**environment, "WEB_PORT": str(port), "WEB_PROCESSES": "1"}
    command = ["taskset", "-c", CPU, sys.executable, "-m", "run.web"]
    with rig.process(command, ours, port, quiet=True):
        yield port


@contextmanager
def collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    main()

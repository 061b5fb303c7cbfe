"""Requests a second of one web process: `python -m bench.download [--seconds 5]`;
needs wrk.

The web process has one CPU, wrk and both Redis servers the others. A directory is the storage.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.rig import ROOT, enter, quantile, redis_pair, table, web

SAMPLE = ROOT / "tests/data/samples/crash-c/DADBB96C91ED58F912FB09F7F2655E6F0/crash-c.sym"
FOUND = "/crash-c/DADBB96C91ED58F912FB09F7F2655E6F0/crash-c.sym"
MISSING = "/crash-c/DADBB96C91ED58F912FB09F7F2655E6F1/crash-c.sym"
NO_CODE = "/crash-c/5AB38077A000/crash-c.sym"
TAKES_GZIP = {"Accept-Encoding": "gzip"}
CONNECTIONS = 8
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
SLOW = re.compile(r"^\s+99%\s+(\S+)", re.MULTILINE)


class Case(NamedTuple):
    what: str
    path: str
    status: int
    wanted: int
    headers: Mapping[str, str] = {}
    method: str = "GET"


CASES = (
    Case("GET, as stored (gzip)", FOUND, 200, 1_500, TAKES_GZIP),
    Case("GET, unpacked for the client", FOUND, 200, 1_500),
    Case("GET, `If-None-Match`", FOUND, 304, 3_000, {**TAKES_GZIP, "If-None-Match": "*"}),
    Case("HEAD", FOUND, 200, 3_000, TAKES_GZIP, "HEAD"),  # not with wrk, which waits for a body
    Case("404, cached", MISSING, 404, 3_000),
    Case("404, cached, by code id", NO_CODE, 404, 3_000),
    Case("404, ignored", FOUND.replace(".sym", ".exe"), 404, 3_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    seconds = parser.parse_args().seconds
    with TemporaryDirectory(prefix="bench-") as home:
        database = f"sqlite:///{home}/tecken.sqlite3"
        with redis_pair(SYMBOL_SOURCES="", DATABASE_URL=database) as environment:
            store(environment)
            with web(environment) as (port, _):
                rows = [[case.what, f"{case.wanted:,}", *measured(case, port, seconds)] for case in CASES]
    table(("request", "wanted /s", "measured /s", "p99"), rows)


def store(environment: Mapping[str, str]) -> None:
    enter(environment)
    from django.core.management import call_command  # noqa: PLC0415

    from tecken.storage import services as storage_services  # noqa: PLC0415
    from tecken.symbols.layouts import FileKey  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    storage_services.own_files().put(FileKey(*FOUND[1:].split("/")), [gzip.compress(SAMPLE.read_bytes())])


def measured(case: Case, port: int, seconds: int) -> tuple[str, str]:
    check(case, port)
    return by_wrk(case, port, seconds) if case.method == "GET" else by_hand(case, port, seconds)


def by_wrk(case: Case, port: int, seconds: int) -> tuple[str, str]:
    lua = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in case.headers.items())
    with TemporaryDirectory(prefix="bench-") as home:
        script = Path(home) / "request.lua"
        script.write_text(lua)
        command = [
            "taskset",
            "-c",
            "1-3",
            "wrk",
            "-t",
            "2",
            "-c",
            str(CONNECTIONS),
            "-d",
            f"{seconds}s",
            "--latency",
        ]
        url = f"http://127.0.0.1:{port}{case.path}"
        told = subprocess.run(
            [*command, "-s", str(script), url], capture_output=True, text=True, check=True
        ).stdout
    rate, slow = RATE.search(told), SLOW.search(told)
    if not rate or not slow or (case.status < 400 and "Non-2xx" in told):
        raise RuntimeError(told)
    return f"{float(rate[1]):,.0f}", slow[1]


def by_hand(case: Case, port: int, seconds: int) -> tuple[str, str]:
    with ProcessPoolExecutor(CONNECTIONS, get_context("spawn")) as processes:
        asking = [processes.submit(ask, case, port, seconds) for _ in range(CONNECTIONS)]
        times = [one for done in asking for one in done.result()]
    return f"{len(times) / seconds:,.0f}", f"{quantile(times, 0.99) * 1e3:.2f}ms"


def ask(case: Case, port: int, seconds: int) -> list[float]:
    """One connection, one request at a time; the answer has no body."""
    os.sched_setaffinity(0, {1, 2, 3})
    headers = "".join(f"{name}: {value}\r\n" for name, value in case.headers.items())
    request = f"{case.method} {case.path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()
    times = []
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        ends = time.monotonic() + seconds
        while (began := time.monotonic()) < ends:
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += connection.recv(4096)
            times.append(time.monotonic() - began)
    return times


def check(case: Case, port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(case.method, case.path, headers=dict(case.headers))
    status = connection.getresponse().status
    connection.close()
    if status != case.status:
        raise RuntimeError(f"{case.what}: {status}")


if __name__ == "__main__":
    main()

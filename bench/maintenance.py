"""Requests a second that one web process answers with the maintenance page: `python -m bench.maintenance`;
needs wrk.

The web process has one CPU, wrk the others. What such a request asks of the database and of Redis is counted
in this process, for each page, over many requests.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import redis

from bench import rig

WANTED = 5_000
COUNTED = 2_000  # requests
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
SLOW = re.compile(r"^\s+99%\s+(\S+)", re.MULTILINE)
ALL = re.compile(r"(\d+) requests in")
REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")


class Page(NamedTuple):
    path: str
    accept: str


PAGES = {"the page": Page("/", "text/html"), "JSON": Page("/api/uploads/", "*/*")}


class Asked(NamedTuple):
    sql: int
    redis: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bench-") as home:
        database = f"sqlite:///{home}/tecken.sqlite3"
        with rig.redis_pair(SYMBOL_SOURCES="", DATABASE_URL=database) as environment:
            rig.enter(environment)
            begin()
            asked = {what: counted(page) for what, page in PAGES.items()}
            with rig.web(environment) as (port, _):
                time.sleep(2)
                rates = {
                    what: [wrk(port, page, options.seconds) for _ in range(options.rounds)]
                    for what, page in PAGES.items()
                }
    report(asked, rates)


def begin() -> None:
    """Begin maintenance with redis-cli alone."""
    from django.core.management import call_command  # noqa: PLC0415

    from tecken.runtimeconfig import current  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    current.backend().set_maintenance("full", "x", None)
    while not current.is_under_maintenance():
        time.sleep(0.05)


def counted(page: Page) -> Asked:
    """Count the commands of this thread, which serves the requests."""
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    asked: Counter[str] = Counter()

    def query(execute: Any, *arguments: Any) -> Any:
        asked["sql"] += 1
        return execute(*arguments)

    client = Client()
    with connection.execute_wrapper(query), commands(asked):
        for _ in range(COUNTED):
            reply = client.get(page.path, headers={"Host": "localhost", "Accept": page.accept})
            if reply.status_code != 503:
                raise RuntimeError(f"{page.path}: {reply.status_code}")
    return Asked(asked["sql"], asked["redis"])


@contextmanager
def commands(asked: Counter[str]) -> Iterator[None]:
    """Count the commands that this thread sends to any Redis server."""
    send, here = redis.Connection.send_packed_command, threading.get_ident()

    def sending(self: Any, *arguments: Any, **more: Any) -> Any:
        asked["redis"] += threading.get_ident() == here
        return send(self, *arguments, **more)  # type: ignore[no-untyped-call]

    redis.Connection.send_packed_command = sending  # type: ignore[method-assign]
    try:
        yield
    finally:
        redis.Connection.send_packed_command = send  # type: ignore[method-assign]


def wrk(port: int, page: Page, seconds: int) -> tuple[float, str]:
    """Return requests per second, and the 99th percentile of the response time."""
    command = ["taskset", "-c", "1-3", "wrk", "-t2", "-c8", f"-d{seconds}s", "--latency"]
    url = f"http://127.0.0.1:{port}{page.path}"
    told = subprocess.check_output([*command, "-H", f"Accept: {page.accept}", url], text=True)
    rate, slow, count, refused = (pattern.search(told) for pattern in (RATE, SLOW, ALL, REFUSED))
    if not (rate and slow and count and refused and refused[1] == count[1]):
        raise RuntimeError(told)
    return float(rate[1]), slow[1]


def report(asked: Mapping[str, Asked], rates: Mapping[str, list[tuple[float, str]]]) -> None:
    rows = []
    for what, seen in rates.items():
        rate, slow = sorted(seen)[len(seen) // 2]
        rows.append([what, f"{WANTED:,}", f"{rate:,.0f}", slow, asked[what].sql, asked[what].redis])
    head = [
        "answer",
        "wanted /s",
        "measured /s",
        "p99",
        "SQL queries",
        f"Redis commands in {COUNTED:,} requests",
    ]
    rig.table(head, rows)


if __name__ == "__main__":
    main()

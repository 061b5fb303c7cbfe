"""How soon `/health` answers at 500 requests a second, with all up and with one server after the other that
does not answer: `python -m bench.health`.

Requests are sent when they are due, whatever became of those before, and timed from then on. A server that
hangs is one that was stopped with SIGSTOP, or a port that takes connections and says nothing.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import rig
from tests.support.redis_server import RedisServer, free_port

CLIENTS = 64  # connections, so that none waits for another
WEB = "2"  # processes
WARM_SECONDS = 2
Case = Callable[[], AbstractContextManager[None]]


class Answers(NamedTuple):
    """`seconds` from when each was due; `statuses` counts them, 0 for no answer."""

    seconds: list[float]
    statuses: Counter[int]

    def percentile(self, hundredth: int) -> float:
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[hundredth - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=500)
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory(prefix="bench-") as home, ExitStack() as running:
        cache, store = (running.enter_context(RedisServer(rig.IMAGES / one / "redis.conf")) for one in CONF)
        ours = {"REDIS_URL": cache.url, "REDIS_STORE_URL": store.url}
        cases: dict[str, tuple[Mapping[str, str], Case, str]] = {
            "a process alone (/__lbheartbeat__)": (ours, nullcontext, "/__lbheartbeat__"),
            "all up": (ours, nullcontext, "/health"),
            "redis-cache hangs": (ours, lambda: stopped(cache), "/health"),
            "redis-store hangs": (ours, lambda: stopped(store), "/health"),
            "both hang": (ours, lambda: both(cache, store), "/health"),
            "the database hangs": (ours | {"DATABASE_URL": ""}, nullcontext, "/health"),
            "storage hangs": (ours | {"STORAGE_URL": ""}, nullcontext, "/health"),
        }
        for name, (environment, hang, path) in cases.items():
            with site(environment, Path(home)) as port:
                ask(port, path, options.rate, WARM_SECONDS)
                with hang():
                    rows.append(row(name, ask(port, path, options.rate, options.seconds)))
    rig.table(["", "p50 ms", "p99 ms", "longest ms", "answers"], rows)
    print(f"\n{options.rate} requests/s for {options.seconds} s each, {WEB} web processes")


CONF = ("redis-cache", "redis")


@contextmanager
def site(wanted: Mapping[str, str], home: Path) -> Iterator[int]:
    """Run a site. An empty value in `wanted` stands for a server that does not respond."""
    with ExitStack() as running:
        mute = running.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024)).getsockname()[1]
        hanging = {
            "DATABASE_URL": f"postgres://nobody@127.0.0.1:{mute}/none",
            "STORAGE_URL": "s3://none/",
        }
        environment = {
            **{"SECRET_KEY": "bench", "STORAGE_URL": f"file://{home}/storage"},
            **{"DATABASE_URL": f"sqlite:///{home}/tecken.sqlite3"},
            **{"AWS_ENDPOINT_URL": f"http://127.0.0.1:{mute}", "AWS_ALLOW_HTTP": "true"},
            **{"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1"},
            **{name: text or hanging[name] for name, text in wanted.items()},
        }
        port = free_port()
        with rig.redis_pair(**environment, WEB_PORT=str(port), WEB_PROCESSES=WEB) as whole:
            running.enter_context(rig.process([sys.executable, "-m", "run.web"], whole, port))
            yield port


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def both(*servers: RedisServer) -> Iterator[None]:
    with ExitStack() as hanging:
        for server in servers:
            hanging.enter_context(stopped(server))
        yield


def ask(port: int, path: str, rate: int, seconds: int) -> Answers:
    """Send a request every 1/RATE seconds with any free client."""
    begin = time.perf_counter() + 0.5
    turns, answers = count(), Answers([], Counter())

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        while (turn := next(turns)) < rate * seconds:
            due = begin + turn / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            answers.statuses[status(connection, path)] += 1
            answers.seconds.append(time.perf_counter() - due)
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return answers


def status(connection: HTTPConnection, path: str) -> int:
    try:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status
    except (HTTPException, OSError):
        connection.close()
        return 0


def row(name: str, answers: Answers) -> list[str]:
    counted = ", ".join(f"{number} x {code}" for code, number in answers.statuses.most_common())
    return [
        name,
        *(f"{answers.percentile(hundredth) * 1e3:.1f}" for hundredth in (50, 99)),
        f"{max(answers.seconds) * 1e3:.0f}",
        counted,
    ]


if __name__ == "__main__":
    main()

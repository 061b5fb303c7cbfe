"""Time until a change is in force in each of 1,000 processes, and what they cost redis-cache.

    python -m bench.config_fleet [--processes 1000] [--before CHECKOUT] [--cases calm idle cut ...]

Each process is a fork that runs the watcher of web servers and workers (tecken/runtimeconfig/process.py) on a
connection of its own; nothing is simulated but the rest of a web server. calm: no changes; idle: changes at
random moments; cut: all subscribers are killed before each change; deaf: the message of each change is
dropped; restart, pause: redis-cache restarts, or is stopped for 5 s, and a change is made at once when it
answers; hand: changes as with redis-cli, and the number of processes that start to record one of them.

A process notes the time in a follower of the option, after the new values were put in force, in memory that
it shares with this script. Times begin with the writer's command to Redis; SQL is not part of them. CHECKOUT
is a worktree of an earlier commit, whose watchers take turns with those of this one, case by case.
"""

from __future__ import annotations

import argparse
import gc
import logging
import mmap
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import redis

from bench import rig
from bench.picture import Range, range_chart
from tests.support.redis_server import RedisServer

PICTURE = rig.ROOT / "docs" / "pictures" / "fleet.svg"
CHANNEL, INTERVAL, TIMEOUT = "bench:config", 1.0, 1.0
LATEST = 30.0  # seconds; a change that a process has not applied by then is missed
STARTED = 300.0  # seconds for all processes to start
SETTLED = 8.0  # seconds after a start until all have subscribed
PAUSE = 5.0
START = 0.005  # seconds between the starts of two processes
WANTED = 1.0  # seconds
SQL = 0.03  # seconds; a transaction of the process that records a change by hand
SLOTS = 3  # numbers of a process in the shared memory: value, time of it, and records begun
SAMPLE = 0.1


class Figures(NamedTuple):
    """Seconds of each change and process, and the load of Redis during the case."""

    seen: list[float]
    changes: int
    missed: int
    recorders: float
    seconds: float
    commands: float
    peak: int
    redis_cpu: float
    fleet_cpu: float
    received: float
    sent: float
    connections: int


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--fleet":
        return run_fleet(*sys.argv[2:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the case calm")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    checkouts = {"now": rig.ROOT}
    if options.before:
        checkouts = {"before": options.before.resolve(), **checkouts}
    figures: dict[tuple[str, str], Figures] = {}
    for case in options.cases:
        for name, checkout in checkouts.items():
            figures[case, name] = measure(case, checkout, options)
            print(f"{case}, {name}: {row(figures[case, name])}", file=sys.stderr)
    report(figures)
    draw({case: of for (case, name), of in figures.items() if name == "now" and of.seen}, options.picture)
    return None


class Fleet:
    """Processes that watch one Redis server, as this script sees them."""

    def __init__(self, server: RedisServer, shared: mmap.mmap, count: int) -> None:
        self.server, self.count = server, count
        self._slots = memoryview(shared).cast("d")
        self.client: Any = redis.Redis.from_url(server.url, socket_timeout=LATEST, decode_responses=True)
        self.version = 0
        self.texts: dict[str, str] = {}

    def change(self, channel: str = CHANNEL, before: Callable[[], object] = lambda: None) -> float:
        """Write the next version, after `before`; return the time of the write."""
        from tecken.redisclient import client  # noqa: PLC0415 - only the fleet reads another checkout
        from tecken.runtimeconfig.backend import Change  # noqa: PLC0415
        from tecken.runtimeconfig.backends.redis import RedisBackend  # noqa: PLC0415

        expected, self.version = self.version, self.version + 1
        change = Change(self.version, f"stamp {self.version}", "bench", "", "", "cli")
        with client(self.server.url, timeout=LATEST, connect_timeout=LATEST) as connected:
            # Connected before: the writer does not wait for those that connect at once.
            connected.ping()
            before()
            began = time.monotonic()
            RedisBackend(connected, channel).write(change, self._texts(), expected)
        return began

    def change_by_hand(self) -> float:
        """Do what an operator does with redis-cli."""
        self.version += 1
        began = time.monotonic()
        self.client.hset("config:values", mapping=self._texts())
        self.client.incr("config:version")
        return began

    def _texts(self) -> dict[str, str]:
        return {"symbolicate_max_jobs": str(1 + self.version % 1000), "log_level": "INFO"}

    def close(self) -> None:
        """Give the shared memory back."""
        self._slots.release()

    def wait(self, began: float) -> list[float]:
        """Return the seconds until each process has the value, without those that miss it."""
        value = float(self._texts()["symbolicate_max_jobs"])
        while time.monotonic() < began + LATEST:
            slots = self._slots
            if all(slots[at] == value for at in range(0, self.count * SLOTS, SLOTS)):
                break
            time.sleep(0.02)
        slots = self._slots
        starts = range(0, self.count * SLOTS, SLOTS)
        return [slots[at + 1] - began for at in starts if slots[at] == value]

    def recorders(self) -> int:
        """Return how often a process has begun to compare Redis with the database."""
        return int(sum(self._slots[at + 2] for at in range(0, self.count * SLOTS, SLOTS)))

    def cpu(self) -> float:
        """Return the seconds of CPU of all processes of the fleet."""
        ticks = 0
        for process in self.client.smembers("bench:fleet"):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


Step = Callable[[Fleet], float]


def cut(fleet: Fleet) -> float:
    return fleet.change(before=lambda: fleet.client.execute_command("CLIENT KILL", "TYPE", "pubsub"))


def restart(fleet: Fleet) -> float:
    fleet.server.stop()
    fleet.server.start()
    return fleet.change()


def pause(fleet: Fleet) -> float:
    fleet.server.pause()
    time.sleep(PAUSE)
    fleet.server.resume()
    return fleet.change()


class Case(NamedTuple):
    """`share`: part of the number of changes, for cases that take long."""

    what: str
    step: Step | None
    share: float = 1.0


CASES = {
    "calm": Case("no change", None),
    "idle": Case("idle", lambda fleet: fleet.change()),
    "cut": Case("all subscribers killed", cut),
    "deaf": Case("messages dropped", lambda fleet: fleet.change("another channel")),
    "restart": Case("redis-cache restarted", restart, 0.25),
    "pause": Case("redis-cache stopped for 5 s", pause, 0.25),
    "hand": Case("changed with redis-cli", lambda fleet: fleet.change_by_hand(), 0.5),
}


def measure(name: str, checkout: Path, options: argparse.Namespace) -> Figures:
    case, chance = CASES[name], random.Random(1)
    with ExitStack() as stack:
        home = stack.enter_context(TemporaryDirectory(prefix="bench-"))
        server = stack.enter_context(RedisServer(REDIS_CONF, databases="4"))
        watched = stack.enter_context(fleet(server, checkout, Path(home) / "shared", options.processes))
        watched.wait(watched.change())
        time.sleep(SETTLED)
        seen: list[float] = []
        changes = max(1, round(options.changes * case.share)) if case.step else 0
        before, sampler = Load.of(watched), Sampler(server.url)
        if case.step is None:
            time.sleep(options.seconds)
        for _ in range(changes):
            time.sleep(chance.uniform(1, 2))
            seen += watched.wait(case.step(watched) if case.step else 0.0)
            if name == "hand":
                settle(watched)
        peak, after = sampler.end(), Load.of(watched)
    missed = changes * options.processes - len(seen)
    return before.until(after, seen, changes, missed, peak)


def settle(fleet: Fleet) -> None:
    """Wait until the change by hand is recorded."""
    time.sleep(3)
    fleet.version = int(fleet.client.get("config:version") or 0)


class Load(NamedTuple):
    """Counters of Redis and the fleet at a moment; those of Redis begin again when it restarts."""

    at: float
    info: dict[str, Any]
    fleet_cpu: float
    recorders: int

    @classmethod
    def of(cls, fleet: Fleet) -> Load:
        return cls(time.monotonic(), dict(fleet.client.info()), fleet.cpu(), fleet.recorders())

    def until(self, after: Load, seen: list[float], changes: int, missed: int, peak: int) -> Figures:
        seconds = after.at - self.at
        is_same = after.info["run_id"] == self.info["run_id"]

        def grown(*names: str) -> float:
            since = {} if not is_same else self.info
            period = seconds if is_same else max(1, after.info["uptime_in_seconds"])
            return float(sum(after.info[name] - since.get(name, 0) for name in names)) / period

        return Figures(
            seen,
            changes,
            missed,
            (after.recorders - self.recorders) / max(1, changes),
            seconds,
            grown("total_commands_processed"),
            peak,
            grown("used_cpu_sys", "used_cpu_user"),
            (after.fleet_cpu - self.fleet_cpu) / seconds,
            grown("total_net_input_bytes"),
            grown("total_net_output_bytes"),
            after.info["connected_clients"],
        )


class Sampler:
    """Most commands that Redis has carried out within SAMPLE seconds."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url, socket_timeout=TIMEOUT)
        self._ended = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _run(self) -> None:
        last: int | None = None
        began = time.monotonic()
        while not self._ended.wait(SAMPLE):
            try:
                count = int(self._client.info("stats")["total_commands_processed"])
            except redis.RedisError:
                last = None
                continue
            now = time.monotonic()
            if last is not None and count >= last:
                self._peak = max(self._peak, round((count - last) * SAMPLE / (now - began)))
            last, began = count, now


REDIS_CONF = rig.IMAGES / "redis-cache" / "redis.conf"


@contextmanager
def fleet(server: RedisServer, checkout: Path, path: Path, count: int) -> Iterator[Fleet]:
    size = count * SLOTS * 8
    path.write_bytes(bytes(size))
    # -P: the folder of this script does not come before the checkout.
    command = [sys.executable, "-P", __file__, "--fleet", server.url, str(path), str(count)]
    environment = {**os.environ, "PYTHONPATH": f"{checkout}:{rig.ROOT}"}
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as shared:
        started = subprocess.Popen(command, cwd=checkout, env=environment, stdin=subprocess.PIPE)
        watched = Fleet(server, shared, count)
        try:
            deadline = time.monotonic() + STARTED
            while watched.client.scard("bench:fleet") < count:
                if started.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the fleet did not start")
                time.sleep(0.2)
            yield watched
        finally:
            watched.close()
            assert started.stdin is not None
            # Each process ends when its end of this pipe is closed.
            started.stdin.close()
            started.wait()


# The fleet


def run_fleet(url: str, path: str, count: str) -> None:
    """Fork the processes, and wait for their end."""
    from tecken.redisclient import client  # noqa: F401, PLC0415 - imported once, before the forks
    from tecken.runtimeconfig.process import Process  # noqa: F401, PLC0415

    with Path(path).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)
    logging.disable()
    gc.collect()
    gc.freeze()
    for number in range(int(count)):
        if os.fork() == 0:
            try:
                watch(url, memoryview(shared).cast("d"), number * SLOTS)
            finally:
                os._exit(0)
        time.sleep(START)
    for _ in range(int(count)):
        os.wait()


def watch(url: str, slots: memoryview[float], at: int) -> None:
    """Run the watcher until standard input is closed."""
    from tecken import redisclient  # noqa: PLC0415
    from tecken.runtimeconfig.backends.redis import RedisBackend  # noqa: PLC0415
    from tecken.runtimeconfig.process import Process  # noqa: PLC0415

    connected = redisclient.client(url, timeout=TIMEOUT, connect_timeout=TIMEOUT)
    backend, process = RedisBackend(connected, CHANNEL), Process()

    def note(value: int) -> None:
        slots[at + 1] = time.monotonic()
        slots[at] = value

    process.kind = "web"
    process.follow("symbolicate_max_jobs", note)
    process.start(backend, INTERVAL, lambda: record(backend, slots, at))
    connected.sadd("bench:fleet", os.getpid())
    os.read(0, 1)


def record(backend: Any, slots: memoryview[float], at: int) -> bool:
    """Do what the service does for a change by hand, with a pause instead of the database."""
    from tecken.errors import TeckenError  # noqa: PLC0415
    from tecken.runtimeconfig.backend import Change  # noqa: PLC0415

    slots[at + 2] += 1
    try:
        found = backend.read()
        time.sleep(SQL)
        if found.version and not found.stamp:
            change = Change(found.version + 1, f"stamp {found.version + 1}", "redis-cli", "", "", "redis")
            backend.write(change, found.texts, expected=found.version)
    except TeckenError:
        return False
    return True


# Output


def milliseconds(times: Sequence[float], share: float) -> str:
    return f"{rig.quantile(times, share) * 1e3:,.0f}" if times else ""


def row(of: Figures) -> list[object]:
    return [
        *(milliseconds(of.seen, share) for share in (0.5, 0.99, 1)),
        of.changes,
        of.missed,
        f"{of.commands:,.0f}",
        f"{of.peak:,}",
        f"{of.redis_cpu:.1%}",
        f"{of.fleet_cpu:.2f}",
        f"{of.received / 1024:,.0f} / {of.sent / 1024:,.0f}",
        f"{of.connections:,}",
        f"{of.recorders:.1f}",
    ]


def report(figures: dict[tuple[str, str], Figures]) -> None:
    rows = [[CASES[case].what, name, *row(of)] for (case, name), of in figures.items()]
    head = ["case", "", "p50, ms", "p99", "longest", "changes", "missed", "commands/s", "most in 0.1 s"]
    head += ["CPU of Redis", "cores of the fleet", "KiB/s in / out", "connections", "records begun"]
    rig.table(head, rows)


def draw(figures: dict[str, Figures], path: Path) -> None:
    ranges = []
    for case, of in figures.items():
        middle, most, longest = (rig.quantile(of.seen, share) * 1e3 for share in (0.5, 0.99, 1))
        ranges.append(Range(CASES[case].what, middle, most, longest, WANTED * 1e3))
    title = "Milliseconds until a change is in force: half of all, 99 in 100, the longest; orange: must"
    range_chart(path, title, ranges)


if __name__ == "__main__":
    main()

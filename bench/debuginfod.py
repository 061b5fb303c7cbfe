"""Our debuginfod beside that of elfutils: `python -m bench.debuginfod --big FILE [--seconds 5]`.

It needs wrk and `debuginfod`. Each server has CPU 0, and wrk and both Redis servers have the others; they run
one after the other, with the same two files. The small file is one of the tests; FILE is a large debug file
with a build id and a section `.debug_line`, such as that of Debian's package ceph-osd-dbg.

CPU per request is that of the server with its Redis servers. `read` is what the server's processes read from
files and pipes, and `memory` by how much their peak exceeds what they had before.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import NamedTuple

from bench.rig import ROOT, configure, cpu_seconds, median, process, processes, redis_pair, table, web
from tests.support.redis_server import free_port

SMALL = ROOT / "tests/data/native/frames.debug"
SMALL_ID = "2170740035ee5228259b8189628eb7ac26e4b705"
UNKNOWN_ID = "0123456789abcdef0123456789abcdef01234567"
IDS = 200
MANY_IDS = f"""
local id = 0
function request()
  id = (id + 1) % {IDS}
  return wrk.format("GET", string.format("/buildid/%040x/debuginfo", id))
end
"""
SECTION = "section/.debug_line"
CONNECTIONS = 16
RUNS = 5
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
TOTAL = re.compile(r"(\d+) requests in")
SLOW = re.compile(r"^\s+99%\s+(\S+)", re.MULTILINE)
BUILD_ID = re.compile(r"Build ID: (\w+)")
SCANNED_WITHIN = 300.0


class Server(NamedTuple):
    """A running server: its port, its process, and that of this script, which started its Redis servers."""

    name: str
    port: int
    pid: int
    has_redis: bool

    def cpu_seconds(self) -> float:
        redis = redis_servers() if self.has_redis else []
        return cpu_seconds(self.pid) + sum(cpu_seconds(pid) for pid in redis)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--big", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=5)
    given = parser.parse_args()
    big_id = build_id(given.big)
    results = {}
    with TemporaryDirectory(prefix="bench-") as home:
        folder = Path(home) / "files"
        folder.mkdir()
        (folder / "small.debug").symlink_to(SMALL)
        (folder / "big.debug").symlink_to(given.big.resolve())
        with elfutils(Path(home), folder, big_id) as server:
            results[server.name] = measured(server, big_id, given.seconds)
        with ours(Path(home), folder) as server:
            results[server.name] = measured(server, big_id, given.seconds)
    columns = zip(*(result.items() for result in results.values()), strict=True)
    table(("what", *results), [[row[0][0], *(value for _, value in row)] for row in columns])


def measured(server: Server, big_id: str, seconds: int) -> dict[str, str]:
    found = by_wrk(server, f"/buildid/{SMALL_ID}/debuginfo", seconds)
    missing = by_wrk(server, f"/buildid/{UNKNOWN_ID}/debuginfo", seconds)
    # The first request for an id reads the database.
    for some_id in range(IDS):
        status(server.port, f"/buildid/{some_id:040x}/debuginfo")
    several = by_wrk(server, f"/buildid/{UNKNOWN_ID}/debuginfo", seconds, MANY_IDS)
    section = by_hand(server, f"/buildid/{big_id}/{SECTION}")
    whole = by_hand(server, f"/buildid/{big_id}/debuginfo")
    return {
        **{f"small file: {what}": value for what, value in found.items()},
        **{f"404: {what}": value for what, value in missing.items()},
        **{f"404 of {IDS} ids: {what}": value for what, value in several.items()},
        **{f"{SECTION}: {what}": value for what, value in section.items()},
        **{f"big file: {what}": value for what, value in whole.items()},
    }


# Servers


@contextmanager
def elfutils(home: Path, folder: Path, big_id: str) -> Iterator[Server]:
    port = free_port()
    command = ["taskset", "-c", "0", "debuginfod", "-p", str(port), "-d", str(home / "elfutils.sqlite"), "-F"]
    # No second scan while it is measured; links are followed.
    with process([*command, "-L", "-t", "0", str(folder)], {**os.environ}, port, quiet=True) as pid:
        deadline = time.monotonic() + SCANNED_WITHIN
        while status(port, f"/buildid/{big_id}/debuginfo") != 200:
            if time.monotonic() > deadline:
                sys.exit("debuginfod has not found the big file in time")
            time.sleep(0.5)
        yield Server("elfutils", port, pid, has_redis=False)


@contextmanager
def ours(home: Path, folder: Path) -> Iterator[Server]:
    database = f"sqlite:///{home}/tecken.sqlite3"
    with redis_pair(SYMBOL_SOURCES="", DATABASE_URL=database) as environment:
        configure(environment, symbol_max_bytes="4GB")
        permission = ("--permission", "upload.upload_symbols", "--create-user")
        token = manage(environment, "createtoken", "bench@example.com", *permission)
        with web(environment) as (port, pid):
            client = {**environment, "TECKEN_URL": f"http://127.0.0.1:{port}", "TECKEN_TOKEN": token}
            command = [sys.executable, "-m", "tecken.client", *map(str, sorted(folder.iterdir()))]
            subprocess.run(command, cwd=ROOT, env=client, check=True, stdout=subprocess.DEVNULL)
        # Another process, whose memory shows nothing of the upload.
        with web(environment) as (port, pid):
            yield Server("Tecken", port, pid, has_redis=True)


def manage(environment: Mapping[str, str], *command: str) -> str:
    run = [sys.executable, "manage.py", *command]
    return subprocess.run(
        run, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def redis_servers() -> list[int]:
    return [
        pid for pid in processes(os.getpid()) if Path(f"/proc/{pid}/comm").read_text() == "redis-server\n"
    ]


def build_id(file: Path) -> str:
    notes = subprocess.run(["readelf", "-n", str(file)], capture_output=True, text=True, check=True).stdout
    found = BUILD_ID.search(notes)
    if not found:
        sys.exit(f"{file} has no build id")
    return found[1]


# Measurements


def by_wrk(server: Server, path: str, seconds: int, script: str = "") -> dict[str, str]:
    """Measure requests a second, after one second of other requests. A wrk `script` may vary the path."""
    wrk = ["taskset", "-c", f"1-{(os.cpu_count() or 2) - 1}", "wrk", "-t", "1", "-c", str(CONNECTIONS)]
    url = f"http://127.0.0.1:{server.port}{path}"
    with NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        wrk += ["-s", file.name] if script else []
        subprocess.run([*wrk, "-d", "1s", url], check=True, stdout=subprocess.DEVNULL)
        before = server.cpu_seconds()
        text = subprocess.run(
            [*wrk, "-d", f"{seconds}s", "--latency", url], check=True, capture_output=True, text=True
        ).stdout
    spent = server.cpu_seconds() - before
    rate, total, slow = RATE.search(text), TOTAL.search(text), SLOW.search(text)
    assert rate
    assert total
    assert slow
    return {
        "requests a second": f"{float(rate[1]):,.0f}",
        "CPU per request": f"{spent / int(total[1]) * 1e3:.3f} ms",
        "p99": slow[1],
    }


def by_hand(server: Server, path: str) -> dict[str, str]:
    """Measure one request at a time: the first one, then the median of others."""
    first, *others = [download(server, path) for _ in range(RUNS + 1)]
    size = first.size / 1e6
    return {
        "first byte, first request": f"{first.first_byte * 1e3:.0f} ms",
        "first byte, later": f"{median([run.first_byte for run in others]) * 1e3:.0f} ms",
        "MB/s": f"{size / median([run.seconds for run in others]):,.0f}",
        "read": f"{median([run.read for run in others]) / 1e6:.1f} MB of {size:.1f}",
        "memory": f"{max(run.memory for run in (first, *others)) / 1e6:.0f} MB",
    }


class Run(NamedTuple):
    """One download: times in seconds, sizes in bytes."""

    first_byte: float
    seconds: float
    size: int
    read: int
    memory: int


def download(server: Server, path: str) -> Run:
    pids = processes(server.pid)
    for pid in pids:
        # Peaks begin again with what each process has now.
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    read, memory = sum(map(bytes_read, pids)), sum(map(peak, pids))
    connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
    began = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    size = len(response.read(1))
    first_byte = time.perf_counter() - began
    while chunk := response.read(1 << 20):
        size += len(chunk)
    seconds = time.perf_counter() - began
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{server.name}: {path}: {response.status}")
    now = sum(map(bytes_read, pids)), sum(map(peak, pids))
    return Run(first_byte, seconds, size, now[0] - read, now[1] - memory)


def bytes_read(pid: int) -> int:
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def peak(pid: int) -> int:
    """Return the largest memory of a process in bytes."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def status(port: int, path: str) -> int:
    with suppress(OSError):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        connection.close()
        return response.status
    return 0


if __name__ == "__main__":
    main()

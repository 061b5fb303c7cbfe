"""Minidumps on a whole site: several at once, and a worker that is killed while its child walks a dump."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.minidumps import DumpWriter, amd64_context, elf_record
from tests.support.sentinel import wait_until
from tests.symbolication.crash_dumps.jobs import SECRET, crash_dump
from tests.symbolication.memory import SAMPLES
from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("minidumps")  # all tests share a site
PROGRAM = b"tecken.symbolication.minidump"
BASE, STACK = 0x40_0000, 0x7FFD_0000_0000
THREADS, WORDS = 100, 512
LATE = 120.0  # seconds; an upper bound for a busy machine


class DumpSite(Site):
    """Site whose worker can be killed while it processes a dump."""

    def post(self, content: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/process/minidump", content=content, timeout=60)

    def report(self, dump_id: str) -> httpx.Response:
        return httpx.get(f"{self.url}/process/minidump/{dump_id}", timeout=60)

    def children(self) -> list[int]:
        """Return the processes that walk dumps."""
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and self._is_child(entry)]

    def kill_walk(self) -> None:
        """kill -9 of a worker's process while its child walks a dump. The child ends, too."""
        held: list[int] = []
        wait_until(lambda: self._hold_child(held), LATE, "a child walks the dump")
        (child,) = held
        os.kill(_parent(child), signal.SIGKILL)
        os.kill(child, signal.SIGCONT)
        # It has no parent to ask.
        wait_until(lambda: not Path(f"/proc/{child}").exists(), LATE, "the child has ended")

    def _hold_child(self, held: list[int]) -> bool:
        """Stop a child. On a busy machine its walk could end between two looks at it."""
        for child in self.children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
                held.append(child)
                return True
        return False

    def _is_child(self, entry: str) -> bool:
        with suppress(OSError):
            if PROGRAM in Path(f"/proc/{entry}/cmdline").read_bytes():
                assert self._worker
                return _parent(_parent(int(entry))) == self._worker.pid
        return False


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("site")
    (home / "spool").mkdir()
    return home


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[DumpSite]:
    with DumpSite(home, SPOOL_DIR=str(home / "spool"), SYMBOL_SOURCES=SAMPLES.as_uri()) as site:
        yield site


def long_dump() -> bytes:
    """Return a dump whose walk takes some tenths of a second: each word of its stacks is a candidate."""
    writer = DumpWriter()
    writer.module(BASE, 0x10000, "/opt/bin/unknown", elf_record("11" * 20))
    for thread in range(THREADS):
        start = STACK + 0x10000 * thread
        words = b"".join((BASE + 16 * number).to_bytes(8, "little") for number in range(WORDS))
        writer.thread(thread, amd64_context(rip=BASE + 0x10, rsp=start), writer.memory(start, words))
    return writer.content()


def names(home: Path) -> list[str]:
    """Return everything that is left of dumps in the storage and of temporary files."""
    return [path.name for path in (*home.glob("spool/*"), *home.glob("storage/minidumps/*.dmp"))]


def functions(report: Any) -> list[str | None]:
    return [frame["function"] for frame in report["crashing_thread"]["frames"]]


def test_dumps_are_processed_at_once_and_nothing_of_them_stays(site: DumpSite, home: Path) -> None:
    site.manage("config", "set", "minidump_deadline_seconds", "30")
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(site.post, [crash_dump()] * 3))
    assert [reply.status_code for reply in replies] == [200] * 3
    assert {functions(reply.json())[0] for reply in replies} == {"by_price"}
    assert names(home) == []
    assert site.children() == []
    assert SECRET not in (home / "log").read_bytes()


def test_dump_of_a_killed_worker_is_processed_by_the_next(site: DumpSite, home: Path) -> None:
    site.manage("config", "set", "minidump_deadline_seconds", "0")
    dump_id = site.post(long_dump()).json()["id"]
    site.kill_walk()
    wait_until(lambda: site.report(dump_id).status_code == 200, LATE, "another process has done the job")
    report = site.report(dump_id).json()
    assert report["thread_count"] == THREADS
    assert names(home) == []


def test_dump_that_ends_its_worker_twice_has_failed(site: DumpSite, home: Path) -> None:
    site.manage("config", "set", "minidump_deadline_seconds", "0")
    dump_id = site.post(long_dump()).json()["id"]
    for _ in range(2):
        site.kill_walk()
    wait_until(lambda: site.report(dump_id).status_code == 503, LATE, "the job has failed")
    assert "ended with its process 2 times" in site.report(dump_id).json()["error"]
    assert names(home) == []

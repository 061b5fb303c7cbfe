"""Uploads: how much a core takes, how soon a new module answers, and many at once.

zip       100 .sym files of 6 MB in one archive, local storage, until the 201
fresh     from the 201 for one .sym of 10 MB to its first symbolicated frame, the worker idle before
parallel  100 small archives at once, four web workers: rows and objects counted afterwards
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import NamedTuple
from urllib.parse import urlsplit
from zipfile import ZIP_DEFLATED, ZipFile

import httpx
import orjson

from bench import rig
from bench.cold import WORKER
from tests.support.redis_server import free_port

MB = 10**6
FILES, FILE_BYTES = 100, 6 * MB
FRESH_BYTES = 10 * MB
UPLOADS = 100


class Sym(NamedTuple):
    name: str
    debug_id: str
    text: bytes

    @property
    def key(self) -> str:
        return f"{self.name}/{self.debug_id}/{self.name}.sym"

    @property
    def offset(self) -> int:
        """Return the offset of the first function."""
        found = rig.FUNC.search(self.text)
        assert found
        return int(found[1], 16)


class Site(NamedTuple):
    url: str
    pid: int
    environment: Mapping[str, str]
    client: httpx.Client

    def upload(self, syms: Sequence[Sym]) -> dict[str, object]:
        return self.send(packed(syms))

    def send(self, archive: bytes) -> dict[str, object]:
        answer = self.client.post("/upload/", files={"symbols.zip": archive})
        if answer.status_code != 201:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
        upload: dict[str, object] = answer.json()["upload"]
        return upload


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["zip", "fresh", "parallel"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measures = {"zip": one_zip, "fresh": fresh_module, "parallel": many_at_once}
    for what in options.what:
        measures[what](options.rounds)


def slices(size: int, count: int, salt: int) -> Iterator[Sym]:
    """Return modules of `size` bytes cut from the largest real one, each with its own debug id."""
    text = rig.modules()[0].path.read_bytes()
    chance = random.Random(salt)
    names = text[: text.index(b"\nFUNC ") + 1].split(b"\n", 1)[1]
    for number in range(count):
        start = text.index(b"\nFUNC ", chance.randrange(len(names), len(text) * 3 // 4 - size)) + 1
        debug_id = f"{salt:08X}{number:024X}0"
        name = f"libslice{number}.so"
        head = f"MODULE Linux x86_64 {debug_id} {name}\n".encode()
        body = text[start : text.rindex(b"\n", 0, start + size - len(head)) + 1]
        yield Sym(name, debug_id, head + body)


def small(number: int) -> Sym:
    name, debug_id = f"libsmall{number}.so", f"{number:032X}0"
    text = f"MODULE Linux x86_64 {debug_id} {name}\nFUNC 1000 10 0 f{number}\n1000 10 1 0\n"
    return Sym(name, debug_id, text.encode())


def packed(syms: Sequence[Sym]) -> bytes:
    with BytesIO() as archive:
        with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=4) as zipped:
            for sym in syms:
                zipped.writestr(sym.key, sym.text)
        return archive.getvalue()


@contextmanager
def site(workers: int = 1) -> Iterator[Site]:
    """Run a site without a worker, on DATABASE_URL of the environment or SQLite."""
    with TemporaryDirectory(prefix="bench-") as home:
        database = os.environ.get("DATABASE_URL", f"sqlite:///{home}/db.sqlite3")
        with rig.redis_pair(DATABASE_URL=database, SYMBOL_SOURCES="") as environment:
            manage(environment, "migrate", "--verbosity", "0")
            options = ("--permission", "upload.upload_symbols", "--create-user")
            token = manage(environment, "createtoken", "bench@example.com", *options).strip()
            port = free_port()
            ours = {**environment, "WEB_PORT": str(port), "WEB_PROCESSES": str(workers)}
            url = f"http://127.0.0.1:{port}"
            with (
                rig.process([sys.executable, "-m", "run.web"], ours, port) as pid,
                httpx.Client(base_url=url, headers={"Auth-Token": token}, timeout=600) as client,
            ):
                yield Site(url, pid, environment, client)


def manage(environment: Mapping[str, str], *command: str) -> str:
    words = [sys.executable, "manage.py", *command]
    return subprocess.run(
        words, cwd=rig.ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def one_zip(rounds: int) -> None:
    rows = []
    with site() as ours:
        worker = web_process(ours.pid)
        for number in range(rounds):
            syms = list(slices(FILE_BYTES, FILES, number + 1))
            archive, size = packed(syms), sum(len(sym.text) for sym in syms)
            cpu, start = rig.cpu_seconds(worker), time.perf_counter()
            ours.send(archive)
            wall, cpu = time.perf_counter() - start, rig.cpu_seconds(worker) - cpu
            figures = (size / MB, len(archive) / MB, wall, cpu, size / MB / wall, size / MB / cpu)
            rows.append([*(f"{figure:,.1f}" for figure in figures), f"{peak_mib(worker):,.0f}"])
            del syms, archive
    rig.table(
        ["MB unpacked", "MB zip", "s until 201", "CPU s", "MB/s", "MB/s per core used", "peak MiB"], rows
    )


def fresh_module(rounds: int) -> None:
    waits = []
    with site() as ours, rig.process(WORKER, ours.environment):
        ours.upload([small(0)])
        wait_for_frame(ours, small(0))  # the worker is up
        for sym in slices(FRESH_BYTES, 3 * rounds, 99):
            archive = packed([sym])
            wait_for_missing(ours, sym)
            ours.send(archive)
            start = time.perf_counter()
            wait_for_frame(ours, sym)
            waits.append(time.perf_counter() - start)
    median = rig.median(waits)
    rig.table(["uploads", "median s", "longest s"], [[len(waits), f"{median:.2f}", f"{max(waits):.2f}"]])


def many_at_once(rounds: int) -> None:
    rows = []
    for _ in range(rounds):
        with site(workers=4) as ours:
            rows.append(one_rush(ours))
    counts = ["201", "complete", "own files with one row", "shared file: rows + skips", "objects right"]
    rig.table(["uploads", "s", *counts], rows)


def one_rush(ours: Site) -> list[object]:
    """Each archive has two files of its own and one that all of them have."""
    archives = [[small(0), small(2 * n + 1), small(2 * n + 2)] for n in range(UPLOADS)]
    ready = Barrier(UPLOADS)

    def send(archive: bytes) -> int:
        with httpx.Client(headers=ours.client.headers, timeout=600) as client:
            ready.wait()
            return client.post(f"{ours.url}/upload/", files={"symbols.zip": archive}).status_code

    start = time.perf_counter()
    with ThreadPoolExecutor(UPLOADS) as pool:
        codes = list(pool.map(send, map(packed, archives)))
    wall = time.perf_counter() - start
    uploads, rows, skipped = counted(ours)
    syms = {sym.key: sym.text for archive in archives for sym in archive}
    storage = Path(urlsplit(ours.environment["STORAGE_URL"]).path)
    right = sum(gzip.decompress((storage / "v1" / key).read_bytes()) == text for key, text in syms.items())
    shared = f"v1/{small(0).key}"
    own = sum(rows[f"v1/{key}"] == 1 and not skipped[f"v1/{key}"] for key in syms if key not in shared)
    both = f"{rows[shared]} + {skipped[shared]}"
    return [UPLOADS, f"{wall:.1f}", codes.count(201), uploads, own, both, f"{right} of {len(syms)}"]


COUNT = """
import json
from tecken.storage.models import SymbolFile
from tecken.upload.models import Upload
done = {"completed_at__isnull": False}
uploads = list(Upload.objects.filter(**done).values_list("skipped_keys", flat=True))
rows = list(SymbolFile.objects.filter(**done).values_list("key", flat=True))
print(json.dumps([len(uploads), rows, sum(uploads, [])]))
"""


def counted(ours: Site) -> tuple[int, Counter[str], Counter[str]]:
    """Complete uploads; rows of each file, and how often it was skipped, by key."""
    uploads, rows, skipped = orjson.loads(manage(ours.environment, "shell", "--no-imports", "-c", COUNT))
    return uploads, Counter(rows), Counter(skipped)


def frame(ours: Site, sym: Sym) -> dict[str, object]:
    body = rig.request((sym.name, sym.debug_id), [sym.offset])
    answer = ours.client.post("/symbolicate/v5", content=body)
    if answer.status_code == 503:
        return {}
    found: dict[str, object] = answer.json()["results"][0]["stacks"][0][0]
    return found


def wait_for_frame(ours: Site, sym: Sym) -> None:
    deadline = time.monotonic() + 120
    while "function" not in frame(ours, sym):
        if time.monotonic() > deadline:
            raise TimeoutError(sym.key)
        time.sleep(0.02)


def wait_for_missing(ours: Site, sym: Sym) -> None:
    """Wait until every process has found that the module is absent."""
    assert "function" not in frame(ours, sym)


def web_process(pid: int) -> int:
    """Return the process that serves requests: the last child, after the tracker of multiprocessing."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()

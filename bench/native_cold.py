"""The first answer for a native module never seen, and a warm request against one for its symbol file.

    python -m bench.native_cold FILE [--rounds 3]

FILE is an ELF debug file with a build id. Each round uploads a copy with another build id, which nothing
converts ahead of demand, and requests 40 frames of random functions. The warm figures compare the last copy
with its own symbol file, uploaded under another debug id, in turns in the same processes.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from zipfile import ZIP_STORED, ZipFile

from bench import rig
from bench.cold import STEPS, WORKER, Monitor, wait_for_worker, wait_until_idle
from bench.upload import Site, Sym, manage, packed, site
from tecken.symbols.ids import debug_ids_of_code_id

FRAMES = 40
WARM_REQUESTS = 500
WARM_TURNS = 5


class Times(NamedTuple):
    """Seconds from the request to each event, and the CPU seconds of the worker with its children."""

    published: float
    answered: float
    complete: float
    cpu_answered: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    content = options.file.read_bytes()
    build_id = find_build_id(options.file)
    with site() as ours, rig.process(WORKER, ours.environment) as worker:
        manage(ours.environment, "config", "set", "upload_convert_ahead", "false")
        manage(ours.environment, "config", "set", "symbolicate_deadline_seconds", "120")
        monitor = Monitor(ours.environment["REDIS_URL"])
        wait_for_worker(monitor)
        functions = find_functions(ours, upload_copy(ours, options.file, content, build_id))
        rounds = []
        for _ in range(options.rounds):
            module = upload_copy(ours, options.file, content, build_id)
            body = rig.request(module, rig.frames(functions, FRAMES, random.Random(module[1])))
            rounds.append(measure(ours, monitor, worker, body))
        columns = (f"{rig.median(column):.2f}" for column in zip(*rounds, strict=True))
        rig.table(["seconds", *Times._fields], [[options.file.name, *columns]])
        compare_warm(ours, module, functions)


def find_build_id(file: Path) -> bytes:
    notes = subprocess.run(("readelf", "-n", file), check=True, capture_output=True, text=True).stdout
    found = re.search(r"Build ID: (\w+)", notes)
    assert found, "the file has no build id"
    return bytes.fromhex(found[1])


def upload_copy(ours: Site, file: Path, content: bytes, build_id: bytes) -> rig.Key:
    """Upload a copy with another build id, named after that, and return its module."""
    copy = random.randbytes(len(build_id))
    with BytesIO() as archive:
        with ZipFile(archive, "w", ZIP_STORED) as zipped:
            zipped.writestr(f"{copy.hex()}.debug", content.replace(build_id, copy))
        ours.send(archive.getvalue())
    return file.name, debug_ids_of_code_id(copy.hex())[0]


def find_functions(ours: Site, module: rig.Key) -> list[tuple[int, int]]:
    """Return the functions in the symbol file of a module, which converts it."""
    return [(int(start, 16), int(size, 16)) for start, size in rig.FUNC.findall(symbol_file(ours, module))]


def symbol_file(ours: Site, module: rig.Key) -> bytes:
    answer = ours.client.get(f"/{module[0]}/{module[1]}/{module[0]}.sym", follow_redirects=True)
    answer.raise_for_status()
    return answer.content


def measure(ours: Site, monitor: Monitor, worker: int, body: bytes) -> Times:
    cpu, start = rig.cpu_seconds(worker), time.time()
    answer = rig.post(connect(ours), body)
    answered, cpu_answered = time.time(), rig.cpu_seconds(worker) - cpu
    if b'"function"' not in answer:
        raise RuntimeError(answer[:500])
    wait_until_idle(monitor, start)
    published = monitor.first(STEPS["frames published"], start)
    complete = monitor.first(STEPS["page file complete"], start)
    return Times(
        published - start, answered - start, complete - start, cpu_answered, rig.cpu_seconds(worker) - cpu
    )


def connect(ours: Site) -> HTTPConnection:
    return HTTPConnection(urlsplit(ours.url).netloc, timeout=300)


def compare_warm(ours: Site, native: rig.Key, functions: Sequence[tuple[int, int]]) -> None:
    """Send the same frames of a native module and of its symbol file, in turns."""
    text = symbol_file(ours, native)
    other = f"{'C' * 32}0"
    copied = Sym("copied", other, text.replace(native[1].encode(), other.encode(), 1))
    ours.send(packed([copied]))
    offsets = rig.frames(functions, FRAMES, random.Random(1))
    connection = connect(ours)
    costs: dict[str, list[float]] = {}
    bodies = {
        "native": rig.request(native, offsets),
        "symbol file": rig.request((copied.name, other), offsets),
    }
    for _ in range(WARM_TURNS):
        for name, body in bodies.items():
            rig.post(connection, body)
            cpu = rig.cpu_seconds(ours.pid)
            for _ in range(WARM_REQUESTS):
                rig.post(connection, body)
            costs.setdefault(name, []).append((rig.cpu_seconds(ours.pid) - cpu) / WARM_REQUESTS)
    rows = [[name, f"{1e3 * rig.median(values):.3f}"] for name, values in costs.items()]
    rig.table(["warm request of 40 frames", "CPU ms"], rows)


if __name__ == "__main__":
    main()

"""Growth of costs: `python -m bench.scaling [--only modules frames store file processes]`.

    modules    CPU of a request of 40 frames, by the number of modules that requests are spread over
    frames     CPU per frame, by the number of frames in one request
    store      CPU of a request whose pages come from the store, by the bytes that the store has
    file       CPU and peak memory of a conversion, and CPU of a request, by the size of the symbol file
    processes  requests per second, by the number of web processes

Each runs in a process of its own; all but the last use Django's test client, without a network. Files of a
given size have the records of the largest real module that is not larger, again and again, at other
addresses.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import redis

from bench import rig
from bench.throughput import wrk, wrk_script

NAMES = ("modules", "frames", "store", "file", "processes")
MIB = 1 << 20
FRAMES = 40
MODULES = (1, 10, 100, 1_000, 10_000)
FRAME_COUNTS = (1, 10, 100, 1_000, 10_000, 20_000)
STORE_SHARES = (0.1, 0.25, 0.5, 1.0)
FILE_MB = (1, 10, 100, 500, 1_000, 2_000)
REQUESTS = 200
ADDRESSES = re.compile(rb"^(FUNC (?:m )?|INLINE \d+ \d+ \d+ \d+ |)([0-9a-f]+)(?= )", re.MULTILINE)

Row = tuple[object, ...]
P = ParamSpec("P")
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    for name in parser.parse_args().only:
        # Each in a process of its own: the options and caches of one site must not serve the next.
        code = f"from bench import scaling; scaling.measure({name!r})"
        subprocess.run([sys.executable, "-c", code], cwd=rig.ROOT, check=True)


def measure(name: str) -> None:
    """Run one measurement; the entry point of its process."""
    functions = (by_modules, by_frames, by_store, by_file, by_processes)
    dict(zip(NAMES, functions, strict=True))[name]()


def by_modules() -> None:
    """Print the CPU of a request by the number of modules in use."""
    rows: list[Row] = []
    with TemporaryDirectory() as folder, rig.redis_pair(SYMBOL_SOURCES=f"file://{folder}/") as environment:
        rig.enter(environment)
        fleet: list[rig.Member] = []
        template = small_module()
        for count in MODULES:
            fleet += [
                convert_small(template, number + 1, Path(folder)) for number in range(len(fleet), count)
            ]
            rows.append((f"{count:,}", *(f"{value:.0f}" for value in spread_over(fleet))))
    report("modules in use", rows, ["modules", "first requests, CPU us", "again, CPU us"])


def spread_over(fleet: Sequence[rig.Member]) -> tuple[float, float]:
    """Return the CPU microseconds of a request on random modules: the first ones, and the same ones again."""
    chance = random.Random(1)
    bodies = []
    for _ in range(REQUESTS):
        stack = [
            (member.key, rig.frames(member.functions, 1, chance)[0])
            for member in chance.choices(fleet, k=FRAMES)
        ]
        bodies.append(rig.request_of(stack))
    return cpu_of(bodies), cpu_of(bodies)


def by_frames() -> None:
    """Print the CPU per frame by the number of frames in a request."""
    rows: list[Row] = []
    module = rig.modules()[0]
    functions = module.functions()
    with rig.redis_pair() as environment:
        rig.configure(environment, symbolicate_max_frames=max(FRAME_COUNTS), symbolicate_deadline_seconds=120)
        rig.enter(environment)
        rig.convert(module)
        rig.fill_store(module)
        for count in FRAME_COUNTS:
            chance = random.Random(count)
            requests = max(3, 2_000 // count)
            bodies = [rig.request(module.key, rig.frames(functions, count, chance)) for _ in range(requests)]
            first, again = cpu_of(bodies), cpu_of(bodies)
            rows.append((f"{count:,}", f"{first / count:.1f}", f"{again / count:.2f}"))
    report("frames in a request", rows, ["frames", "new frames, CPU us each", "again, CPU us each"])


def by_store() -> None:
    """Print the CPU of a request from the store by the bytes that the store has."""
    rows: list[Row] = []
    with TemporaryDirectory() as folder, rig.redis_pair(SYMBOL_SOURCES=f"file://{folder}/") as environment:
        rig.configure(environment, process_page_bytes=MIB, process_frame_bytes=MIB)
        rig.enter(environment)
        originals = rig.modules()
        limit = store_info("maxmemory")
        fleet: list[rig.Member] = []
        for share in STORE_SHARES:
            for original in cycle(originals):
                if store_info("used_memory") >= share * limit * 0.95:
                    break
                fleet.append(add_member(original, len(fleet), Path(folder)))
            rows.append((f"{store_info('used_memory') / MIB:.0f}", len(fleet), f"{from_store(fleet):.0f}"))
    report("bytes in the store", rows, ["store MiB", "modules", "request, CPU us"])


def add_member(original: rig.Module, number: int, folder: Path) -> rig.Member:
    module = rig.clone(original, number, folder)
    member = rig.Member(module.key, module.functions(), rig.convert(module))
    rig.fill_store(module)
    module.path.unlink()
    return member


def from_store(fleet: Sequence[rig.Member]) -> float:
    chance = random.Random(2)
    members = chance.choices(fleet, k=REQUESTS)
    return cpu_of([rig.request(each.key, rig.frames(each.functions, FRAMES, chance)) for each in members])


def store_info(name: str) -> int:
    with redis.Redis.from_url(os.environ["REDIS_STORE_URL"]) as client:
        return int(client.info("memory")[name])


def by_file() -> None:
    """Print the cost of a conversion by the size of the symbol file."""
    rows = []
    with TemporaryDirectory() as folder, rig.redis_pair(SYMBOL_SOURCES=f"file://{folder}/") as environment:
        for megabytes in FILE_MB:
            # In processes of their own: the memory that one of them needs is not that of another.
            module = in_process(grown_module, original_of(megabytes), megabytes, Path(folder))
            rows.append(in_process(convert_and_look_up, environment, module))
            module.path.unlink()
    head = ["MB", "conversion, CPU s", "CPU ms per MB", "peak MiB", "request, CPU us"]
    report("size of the symbol file", rows, head)


def original_of(megabytes: int) -> rig.Module:
    """Return the largest real module of at most that size, whose names alone are not too large."""
    modules = rig.modules()
    return next((module for module in modules if module.size <= megabytes * 1e6), modules[-1])


def in_process(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what a function returns in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()


def convert_and_look_up(environment: Mapping[str, str], module: rig.Module) -> Row:
    rig.enter(environment)
    before = time.process_time()
    rig.convert(module)
    cpu = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    functions, chance = module.functions(), random.Random(3)
    bodies = [rig.request(module.key, rig.frames(functions, FRAMES, chance)) for _ in range(20)]
    cpu_of(bodies[:1])  # loads the header
    megabytes = module.size / 1e6
    costs = f"{cpu:.2f}", f"{1e3 * cpu / megabytes:.1f}", f"{peak:.0f}", f"{cpu_of(bodies):.0f}"
    return f"{megabytes:,.0f}", *costs


def grown_module(original: rig.Module, megabytes: int, folder: Path) -> rig.Module:
    """Return a symbol file of about `megabytes` with the records of `original`, again and again."""
    head, blocks = split(original.path.read_bytes())
    number = megabytes
    debug_id = f"{number:032X}0"
    path = folder / "grown" / debug_id / "grown.sym"
    path.parent.mkdir(parents=True)
    with path.open("wb") as out:
        out.write(b"MODULE Linux x86_64 %b grown\n" % debug_id.encode() + head)
        for shift in range(0, 1 << 32, 1 << 27):
            for block in blocks:
                if out.tell() >= megabytes * 1e6:
                    return rig.Module(path)
                out.write(shifted(block, shift))
    return rig.Module(path)


def split(text: bytes) -> tuple[bytes, list[bytes]]:
    """Return the FILE and INLINE_ORIGIN records, and the blocks of FUNC records."""
    first, end = text.index(b"\nFUNC ") + 1, text.find(b"\nSTACK ")
    functions = text[first : end + 1 if end >= 0 else None]
    names = b"\n".join(
        line for line in text[:first].split(b"\n") if line.startswith((b"FILE", b"INLINE_ORIGIN"))
    )
    blocks = re.split(rb"^(?=FUNC )", functions, flags=re.MULTILINE)[1:]
    return names + b"\n", blocks


def shifted(block: bytes, shift: int) -> bytes:
    if not shift:
        return block
    return ADDRESSES.sub(lambda match: match[1] + b"%x" % (int(match[2], 16) + shift), block)


def by_processes() -> None:
    """Print the requests per second by the number of web processes."""
    module, rows = rig.modules()[0], []
    with rig.redis_pair() as environment, TemporaryDirectory() as folder:
        rig.enter(environment)
        rig.convert(module)
        chance = random.Random(1)
        functions = module.functions()
        bodies = [rig.request(module.key, rig.frames(functions, FRAMES, chance)) for _ in range(20)]
        script = wrk_script(bodies, Path(folder))
        for count in range(1, (os.cpu_count() or 1) + 1):
            with rig.web(environment, f"0-{count - 1}", count) as (port, _):
                wrk(port, script, 3)
                rate = wrk(port, script, 8)
            rows.append((count, f"{rate.per_second:,.0f}", f"{rate.p50:.1f}", f"{rate.p99:.1f}"))
    report("web processes", rows, ["processes", "requests/s", "p50 ms", "p99 ms"])


def small_module() -> bytes:
    """Return a symbol file of 200 functions of a real module."""
    head, blocks = split(rig.modules()[-1].path.read_bytes())
    return head + b"".join(islice(blocks, 200))


def convert_small(records: bytes, number: int, folder: Path) -> rig.Member:
    debug_id = f"{number:032X}0"
    path = folder / "small" / debug_id / "small.sym"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"MODULE Linux x86_64 %b small\n" % debug_id.encode() + records)
    module = rig.Module(path)
    member = rig.Member(module.key, module.functions(), rig.convert(module))
    path.unlink()
    return member


def cpu_of(bodies: Iterable[bytes]) -> float:
    """Return the mean CPU time of the requests in microseconds."""
    from django.test import Client  # noqa: PLC0415

    client, count, start = Client(), 0, time.process_time()
    for body in bodies:
        response = client.post("/symbolicate/v5", body, content_type="application/json")
        if b'"function"' not in response.content:
            raise RuntimeError(response.content[:500])
        count += 1
    return 1e6 * (time.process_time() - start) / count


def report(title: str, rows: Sequence[Row], head: Sequence[str]) -> None:
    print(f"\n## {title}")
    rig.table(head, rows)


if __name__ == "__main__":
    main()

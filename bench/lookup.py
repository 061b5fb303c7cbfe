"""40 frames of the largest module, in process: first in a fresh process, on a warm store, then again.

With `--new`: requests whose frames were never rendered, in both forms, with all pages in the process.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from bench import rig

WARM_REPEATS = 200
NEW_BODIES = 2000
PROCESS_BYTES = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--processes", type=int, default=30)
    parser.add_argument("--by-size", action="store_true", help="large functions are more likely")
    parser.add_argument("--one", action="store_true", help="measure the request on stdin in this process")
    parser.add_argument("--new", action="store_true", help="measure new frames in both forms")
    options = parser.parse_args()
    if options.new:
        measure_new_frames(options.frames, by_size=options.by_size)
        return
    if options.one:
        print(orjson.dumps(measured(sys.stdin.buffer.read())).decode())
        return
    module, chance = rig.modules()[0], random.Random(1)
    functions = module.functions()
    with rig.redis_pair() as environment:
        prepare(environment, module)
        stacks = [
            rig.frames(functions, options.frames, chance, by_size=options.by_size)
            for _ in range(options.processes)
        ]
        runs = [one(environment, rig.request(module.key, stack)) for stack in stacks]
    report(module, runs)


def prepare(environment: Mapping[str, str], module: rig.Module) -> None:
    """Convert, and read every page through the store once."""
    rig.enter(environment)
    rig.convert(module)
    rig.fill_store(module)


def one(environment: Mapping[str, str], content: bytes) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.lookup", "--one"]
    return dict(orjson.loads(subprocess.check_output(command, env=environment, cwd=rig.ROOT, input=content)))


def measured(content: bytes) -> dict[str, float]:
    """Return the milliseconds from the bytes of a request to those of the response."""
    import tecken.wsgi  # noqa: F401, PLC0415 - as a web process starts
    from tecken.symbolication.api.answer import V5  # noqa: PLC0415
    from tecken.symbolication.api.schema import v5_jobs  # noqa: PLC0415
    from tecken.symbolication.api.views import limits, parts  # noqa: PLC0415
    from tecken.symbolication.service import symbolicate  # noqa: PLC0415

    def milliseconds() -> float:
        start = time.perf_counter()
        symbolicate(parts(), V5(), v5_jobs(content, limits()))
        return (time.perf_counter() - start) * 1000

    time.sleep(0.1)  # no request comes in the same moment
    fresh = milliseconds()
    return {"fresh": fresh, "warm": rig.median([milliseconds() for _ in range(WARM_REPEATS)])}


def measure_new_frames(count: int, *, by_size: bool) -> None:
    module, chance = rig.modules()[0], random.Random(2)
    functions = module.functions()
    bodies = [
        rig.request(module.key, rig.frames(functions, count, chance, by_size=by_size))
        for _ in range(NEW_BODIES)
    ]
    source, rows = warm_source(module), []
    from tecken.symbols import engine  # noqa: PLC0415

    for name, form in (("Python", None), ("engine", engine.MODULE)):
        engine.MODULE = form
        milliseconds, sizes = new_frames(source(), bodies)
        per_frame = 1000 * rig.median(milliseconds) / count
        rows.append([name, f"{rig.median(milliseconds):.3f}", f"{per_frame:.1f}", f"{sizes / 1e6:.0f}"])
    print(f"{module.path.name}, {module.size / 1e6:.0f} MB, {len(bodies)} bodies of {count} new frames")
    rig.table(["form", "CPU ms a body", "us a frame", "MB of pages in the process"], rows)


def warm_source(module: rig.Module) -> Any:
    """Return what makes a loader of the converted module."""
    from io import BytesIO  # noqa: PLC0415

    from tecken.store.memory import MemoryPageStore  # noqa: PLC0415

    from tecken.storage.backends.memory import MemoryPageFiles  # noqa: PLC0415
    from tecken.symbolication.loader import SymbolLoader  # noqa: PLC0415
    from tecken.symbolication.memory_cache import HeaderCache, PageCache  # noqa: PLC0415
    from tecken.symbolication.page_reader import PageFileReader  # noqa: PLC0415
    from tecken.symbols.ids import ObjectId  # noqa: PLC0415
    from tecken.symbols.pagefile.convert import PageFileWriter  # noqa: PLC0415

    pages = BytesIO()
    writer = PageFileWriter(BytesIO(), pages)
    writer.feed(module.path.read_bytes())
    files = MemoryPageFiles()
    files.files[ObjectId.parse(*module.key)] = writer.finish().raw + pages.getvalue()
    reader = PageFileReader(files)

    def loader() -> SymbolLoader:
        headers = HeaderCache(PROCESS_BYTES, lambda: 3600)
        return SymbolLoader(MemoryPageStore(1), reader, headers, PageCache(PROCESS_BYTES))

    return loader


def new_frames(loader: Any, bodies: Sequence[bytes]) -> tuple[list[float], int]:
    """Return the CPU milliseconds of each request with all pages in the process, and the bytes of these."""
    from tecken.symbolication.api.answer import V5  # noqa: PLC0415
    from tecken.symbolication.api.schema import RequestLimits, v5_jobs  # noqa: PLC0415
    from tecken.symbolication.memory_cache import FrameCache  # noqa: PLC0415
    from tecken.symbolication.service import Parts, symbolicate  # noqa: PLC0415

    parts = Parts(loader, None, FrameCache(PROCESS_BYTES), 15.0)  # type: ignore[arg-type]
    answer = partial(symbolicate, version=V5())
    for body in bodies:
        answer(parts, jobs=v5_jobs(body, RequestLimits(10, 100_000)))
    fresh = parts._replace(frames=FrameCache(PROCESS_BYTES))
    milliseconds = []
    for body in bodies:
        start = time.process_time()
        answer(fresh, jobs=v5_jobs(body, RequestLimits(10, 100_000)))
        milliseconds.append((time.process_time() - start) * 1000)
    return milliseconds, loader._pages.size


def report(module: rig.Module, runs: Sequence[Mapping[str, float]]) -> None:
    rows = []
    for name in ("fresh", "warm"):
        values = [run[name] for run in runs]
        rows.append([name, f"{rig.median(values):.2f}", f"{rig.quantile(values, 0.99):.2f}"])
    print(f"{module.path.name}, {module.size / 1e6:.0f} MB, {len(runs)} processes")
    rig.table(["process", "p50 ms", "p99 ms"], rows)


if __name__ == "__main__":
    main()

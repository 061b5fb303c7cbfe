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

import orjson

from bench import rig

WARM_REPEATS = 200
NEW_BODIES = 2000
ROUNDS = 5
# Python's decoded pages of ceph-osd take twice the default.
PAGE_BYTES = 256 << 20
PROCESS_BYTES = 64 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--processes", type=int, default=30)
    parser.add_argument("--by-size", action="store_true", help="large functions are more likely")
    parser.add_argument("--one", action="store_true", help="measure the request on stdin in this process")
    parser.add_argument("--new", action="store_true", help="measure new frames in both forms")
    parser.add_argument("--page-size", type=int, help="with --new: bytes of text in a page")
    options = parser.parse_args()
    if options.new:
        measure_new_frames(options.frames, options.page_size, by_size=options.by_size)
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


def measure_new_frames(count: int, page_size: int | None, *, by_size: bool) -> None:
    from tecken.symbols import engine  # noqa: PLC0415
    from tecken.symbols.pagefile import cutter  # noqa: PLC0415

    module, chance = rig.modules()[0], random.Random(2)
    functions = module.functions()
    bodies = [
        rig.request(module.key, rig.frames(functions, count, chance, by_size=by_size))
        for _ in range(NEW_BODIES)
    ]
    cutter.PAGE_SIZE = page_size or cutter.PAGE_SIZE  # type: ignore[misc]
    source = Source(module)
    forms = {"Python": None, "engine": engine.MODULE}
    milliseconds: dict[str, list[float]] = {name: [] for name in forms}
    sizes = {}
    # Both forms in turns, so that other work on the machine slows both.
    for _ in range(ROUNDS):
        for name, form in forms.items():
            engine.MODULE = form
            values, sizes[name] = source.new_frames(bodies)
            milliseconds[name].append(rig.median(values))
    print(f"{module.path.name}, {module.size / 1e6:.0f} MB, {len(bodies)} bodies of {count} new frames")
    print(f"pages of {cutter.PAGE_SIZE >> 10} KB: {100 * source.size / module.size:.1f} % of the symbol file")
    rows = [
        [name, f"{min(each):.3f}", f"{1000 * min(each) / count:.1f}", f"{sizes[name] / 1e6:.0f}"]
        for name, each in milliseconds.items()
    ]
    rig.table(["form", "CPU ms a body", "us a frame", "MB of pages in the process"], rows)


class Source:
    """The converted module, in memory."""

    def __init__(self, module: rig.Module) -> None:
        from io import BytesIO  # noqa: PLC0415

        from tecken.storage.backends.memory import MemoryPageFiles  # noqa: PLC0415
        from tecken.symbolication.page_reader import PageFileReader  # noqa: PLC0415
        from tecken.symbols.ids import ObjectId  # noqa: PLC0415
        from tecken.symbols.pagefile.convert import PageFileWriter  # noqa: PLC0415

        pages = BytesIO()
        writer = PageFileWriter(BytesIO(), pages)
        writer.feed(module.path.read_bytes())
        raw = writer.finish().raw + pages.getvalue()
        files = MemoryPageFiles()
        files.files[ObjectId.parse(*module.key)] = raw
        self.size = len(raw)
        self.reader = PageFileReader(files)

    def new_frames(self, bodies: Sequence[bytes]) -> tuple[list[float], int]:
        """Return the CPU milliseconds of each request, with all pages in the process, and their bytes."""
        from tecken.store.page_store import MemoryPageStore  # noqa: PLC0415
        from tecken.symbolication.api.answer import V5  # noqa: PLC0415
        from tecken.symbolication.api.schema import RequestLimits, v5_jobs  # noqa: PLC0415
        from tecken.symbolication.loader import SymbolLoader  # noqa: PLC0415
        from tecken.symbolication.memory_cache import FrameCache, HeaderCache, PageCache  # noqa: PLC0415
        from tecken.symbolication.service import Parts, symbolicate  # noqa: PLC0415

        pages = PageCache(PAGE_BYTES)
        loader = SymbolLoader(MemoryPageStore(1), self.reader, HeaderCache(PAGE_BYTES, lambda: 3600), pages)
        parts, limits = Parts(loader, None, FrameCache(1), 15.0), RequestLimits(10, 100_000)  # type: ignore[arg-type]

        def milliseconds(parts: Parts, body: bytes) -> float:
            start = time.process_time()
            symbolicate(parts, V5(), v5_jobs(body, limits))
            return (time.process_time() - start) * 1000

        for body in bodies:
            milliseconds(parts, body)
        fresh = parts._replace(frames=FrameCache(PROCESS_BYTES))
        return [milliseconds(fresh, body) for body in bodies], pages.size


def report(module: rig.Module, runs: Sequence[Mapping[str, float]]) -> None:
    rows = []
    for name in ("fresh", "warm"):
        values = [run[name] for run in runs]
        rows.append([name, f"{rig.median(values):.2f}", f"{rig.quantile(values, 0.99):.2f}"])
    print(f"{module.path.name}, {module.size / 1e6:.0f} MB, {len(runs)} processes")
    rig.table(["process", "p50 ms", "p99 ms"], rows)


if __name__ == "__main__":
    main()

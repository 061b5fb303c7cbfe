"""40 frames of the largest module, in process: first in a fresh process, on a warm store, then again."""

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--processes", type=int, default=30)
    parser.add_argument("--by-size", action="store_true", help="large functions are more likely")
    parser.add_argument("--one", action="store_true", help="measure the request on stdin in this process")
    options = parser.parse_args()
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


def report(module: rig.Module, runs: Sequence[Mapping[str, float]]) -> None:
    rows = []
    for name in ("fresh", "warm"):
        values = [run[name] for run in runs]
        rows.append([name, f"{rig.median(values):.2f}", f"{rig.quantile(values, 0.99):.2f}"])
    print(f"{module.path.name}, {module.size / 1e6:.0f} MB, {len(runs)} processes")
    rig.table(["process", "p50 ms", "p99 ms"], rows)


if __name__ == "__main__":
    main()

"""Compare every answer on real modules with the `symbolic` library's SymCache.

Answers change only at a boundary of a record: each boundary and the offsets before and after it are compared.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import rig
from tests.oracle.compare import Difference, differences, interesting
from tests.oracle.module import EngineModule, PagedModule

SHOWN = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("symbols", nargs="*", type=Path, help=".sym files; without any, all of bench/data")
    parser.add_argument("--sample", type=int, metavar="N", help="N offsets of each file")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--engine", action="store_true", help="compare the engine instead of the Python form")
    options = parser.parse_args()
    paths = options.symbols or [module.path for module in rig.modules()]
    with ProcessPoolExecutor(options.processes) as pool:
        form = EngineModule if options.engine else PagedModule
        rows = [row(pool, path, options.sample, options.processes, form) for path in paths]
    rig.table(["module", "MB", "offsets", "different", "seconds"], rows)


def row(
    pool: ProcessPoolExecutor, path: Path, sample: int | None, processes: int, form: type[PagedModule]
) -> list[object]:
    start = time.perf_counter()
    offsets = chosen(path, sample)
    slices = [offsets[n::processes] for n in range(processes)]
    found = [
        one for some in pool.map(compared, [path] * processes, slices, [form] * processes) for one in some
    ]
    for difference in found[:SHOWN]:
        print(f"{path.name} {difference.offset:#x}\n  ours   {difference.ours}\n  theirs {difference.theirs}")
    seconds = time.perf_counter() - start
    return [path.name, f"{path.stat().st_size / 1e6:.1f}", f"{len(offsets):,}", len(found), f"{seconds:.0f}"]


def chosen(path: Path, sample: int | None) -> list[int]:
    offsets = interesting(path.read_bytes())
    return offsets if sample is None else random.Random(1).sample(offsets, min(sample, len(offsets)))


def compared(path: Path, offsets: Sequence[int], form: type[PagedModule]) -> list[Difference]:
    return list(differences(path.read_bytes(), offsets, form))


if __name__ == "__main__":
    main()

"""Send native files with errors through the child processes of the engines, and names that end demanglers.

    python -m bench.fuzz_native --count 2000 --seed 1

The files are mutations of those in tests/data, in every format. Each must be converted, or refused with a
reason, and this process must survive. CAB files are unpacked. `ended` counts the files for which the child
process was ended, and `slowest` is in seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from tempfile import TemporaryFile

from bench import rig
from tecken.errors import Malformed
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import DumpEngine, dump, unpack_cabinet
from tecken.symbols.formats.cabinet import MAGIC
from tests.support.broken_files import elf_with, mutants, unfolding_name
from tests.support.engines import ENGINES, find_engines

LIMITS = ChildLimits(memory_bytes=4 << 30, cpu_seconds=60, seconds=300)
STEPS = range(20, 30)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: those that are built")
    options = parser.parse_args()
    rows = []
    for engine in find_engines(options.engine or ENGINES):
        rows.append(run(engine, "mutated files", mutants(options.count, options.seed)))
        explosive = [(f"{steps} steps", elf_with([unfolding_name(steps)])) for steps in STEPS]
        rows.append(run(engine, "names that unfold", explosive))
    rig.table(["engine", "files", "number", "converted", "refused", "ended", "slowest"], rows)
    if any(row[-1] is None for row in rows):
        sys.exit("a file was neither converted nor refused with a reason")


def run(engine: DumpEngine, title: str, files: Iterable[tuple[str, bytes]]) -> list[object]:
    """Convert files. Return a row of the table; its last cell is None if a file has no result."""
    results: Counter[str] = Counter()
    slowest = 0.0
    for name, content in files:
        started = time.monotonic()
        result, reason = convert(engine, content)
        slowest = max(slowest, time.monotonic() - started)
        results[result] += 1
        if result in ("ended", "nothing"):
            print(f"{engine.title}: {name}: {reason}")
    number = sum(results.values())
    counts = (number, results["converted"], results["refused"], results["ended"])
    return [engine.title, title, *counts, None if results["nothing"] else f"{slowest:.1f}"]


def convert(engine: DumpEngine, content: bytes) -> tuple[str, str]:
    """Return what became of a file, and why."""
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            if content.startswith(MAGIC):
                return "converted", str(sum(map(len, unpack_cabinet(engine, file, LIMITS))))
            text = b"".join(dump(engine, file, "name", "", LIMITS))
        except Malformed as error:
            kind = "ended" if "cannot be converted" in str(error) else "refused"
            return kind if str(error) else "nothing", str(error)
    return "converted" if text.startswith(b"MODULE ") else "nothing", "no text"


if __name__ == "__main__":
    main()

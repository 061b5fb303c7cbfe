"""Read mutated minidumps, and write the report of each that can be read.

    python -m bench.fuzz_minidump --count 100000 --seed 1 [X.dmp ...]

The dumps are mutations of the synthetic ones of the tests and of files: flipped bits, bytes, words of zeros
and ones, copies, and dumps that are cut. Each must be read or refused as Malformed, within --milliseconds
and within --megabytes of memory. `slowest` is in milliseconds, `memory` is what the process grew by in MiB.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bench import rig
from tecken.errors import Malformed
from tests.support.broken_files import mutate
from tests.support.minidump_samples import SAMPLES
from tests.symbolication.minidump.stackwalk import report_of

MIB = 1 << 20


class Result(NamedTuple):
    """`failures` are the causes of other errors than Malformed, and dumps over the limits."""

    read: int
    refused: int
    slowest: float
    failures: Counter[str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", metavar="X.dmp")
    parser.add_argument("--count", type=int, default=100_000, help="dumps in total")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--milliseconds", type=float, default=1000)
    parser.add_argument("--megabytes", type=int, default=128)
    options = parser.parse_args()
    seeds = {name: write() for name, write in SAMPLES.items()}
    seeds |= {path.name: path.read_bytes() for path in options.files}
    limit_memory(options.megabytes)
    chance = random.Random(options.seed)
    rows, failures = [], Counter[str]()
    for name, content in seeds.items():
        before = peak()
        result = run(content, chance, options.count // len(seeds), options.milliseconds / 1000)
        failures += result.failures
        grown = f"{peak() - before:.1f}"
        rows.append([name, len(content), result.read, result.refused, f"{result.slowest * 1000:.1f}", grown])
    rig.table(["dump", "bytes", "read", "refused", "slowest", "memory"], rows)
    for cause, number in failures.most_common():
        print(f"{number} times: {cause}")
    if failures:
        sys.exit("a dump was neither read nor refused, or was over the limits")


def run(content: bytes, chance: random.Random, count: int, seconds: float) -> Result:
    """Read mutations of one dump."""
    read = refused = 0
    slowest = 0.0
    failures = Counter[str]()
    for _ in range(count):
        mutant = mutate(content, chance)
        started = time.perf_counter()
        try:
            report_of(mutant)
            read += 1
        except Malformed:
            refused += 1
        except Exception as error:  # noqa: BLE001
            failures[f"{type(error).__name__}: {error}"] += 1
        took = time.perf_counter() - started
        slowest = max(slowest, took)
        if took > seconds:
            failures[f"took more than {seconds} s"] += 1
    return Result(read, refused, slowest, failures)


def limit_memory(megabytes: int) -> None:
    """Let the process grow by no more than this: a dump that needs more ends with MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + megabytes * MIB
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def peak() -> float:
    """Return the largest resident size of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

"""Read mutated minidumps, walk their threads with made-up symbols, and write the reports.

    python -m bench.fuzz_minidump --count 100000 --seed 1 [X.dmp ...]
    python -m bench.fuzz_minidump --children --count 2000 --milliseconds 3000

The dumps are mutations of the synthetic ones of the tests, with core files among them, and of files: flipped
bits, bytes, words of zeros and ones, copies, and dumps that are cut. Call frame information is chosen at
random, too, and some is broken. Half of the instructions of crashes are random bytes.
Each dump must be read or refused as Malformed, within --milliseconds of CPU time and --megabytes of memory.
`frames` is their number in all reports, `slowest` is in milliseconds, `memory` is what the process grew by
in MiB. With --children each dump is read in a process of its own, as on a site: that one may open no file
after it has begun. `slowest` has its start, and `memory` is the one of this process.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from bench import rig
from tecken.errors import Malformed
from tecken.symbolication.crash_dumps.child import process_dump
from tecken.symbolication.minidump.crash_analysis import load_disassembler
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.minidump.read import read_dump
from tecken.symbolication.minidump.report import write_report
from tecken.symbolication.minidump.unwind import walk
from tecken.symbols.lookup import Frame, Inline
from tests.support.broken_files import mutate
from tests.support.minidump_samples import CORES, INSTRUCTION, SAMPLES

MIB = 1 << 20
CFI = (
    ".cfa: $rsp 8 + .ra: .cfa -8 + ^",
    ".cfa: $rsp 16 + .ra: .cfa -8 + ^ $rbp: .cfa -16 + ^",
    ".cfa: $esp 4 + .ra: .cfa 4 - ^",
    ".cfa: $ebp 8 + .ra: .cfa -4 + ^ $ebp: .cfa -8 + ^ $ebx: .undef",
    ".cfa: sp 16 + .ra: .cfa -8 + ^ fp: .cfa -16 + ^",
    ".cfa: sp .ra: lr",
    ".cfa: $rsp .ra: $rip",
    ".cfa: 18446744073709551615 .ra: .cfa .cfa * .cfa *",
    ".cfa: $rsp 1 0 / + .ra: ^ ^ ^ ^",
    ".cfa: " + "1 " * 3000 + ".ra: .cfa ^",
    "no rule",
    "",
)
WIN = (
    "STACK WIN 4 0 ffffff 0 0 4 0 0 0 1 $T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =",
    "STACK WIN 4 0 ffffff 0 0 4 8 10 0 1 $T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + =",
    "STACK WIN 4 0 ffffff 0 0 ffffffff ffffffff ffffffff 0 1 $eip .raSearchStart = $esp 0 = $ebp $L $T1 % =",
    "STACK WIN 0 0 ffffff 0 0 4 8 10 0 0 1",
    "STACK WIN 0 0 ffffff 0 0 4 0 0 0 0 0",
    "STACK WIN 4",
    "",
)
FRAME = Frame("main", 0, "main.c", 7, (Inline("inlined", "a.h", 3),))


class MadeUpSymbols:
    """Symbols of any kind for any place, broken ones among them."""

    def __init__(self, chance: random.Random, modules: int) -> None:
        self._chance = chance
        self._modules = modules

    def prepare(self, modules: Sequence[int]) -> None:
        """Do nothing."""

    def unwind_info(self, places: Sequence[ModulePlace]) -> list[UnwindInfo | None]:
        return [self._unwind_info() if self._chance.random() < 0.8 else None for _ in places]

    def _unwind_info(self) -> UnwindInfo:
        cfi = (
            f"STACK CFI INIT 0 ffffff {self._chance.choice(CFI)}",
            f"STACK CFI 0 {self._chance.choice(CFI)}",
        )
        return UnwindInfo(
            self._chance.choice(WIN), cfi[: self._chance.randrange(3)], self._chance.choice((0, 4, 1 << 40))
        )

    def are_functions(self, places: Sequence[ModulePlace]) -> list[bool | None]:
        return [self._chance.choice((True, False, None)) for _ in places]

    def frames(self, places: Sequence[ModulePlace]) -> list[Frame | None]:
        return [self._chance.choice((FRAME, None)) for _ in places]

    def states(self) -> list[ModuleState]:
        return [ModuleState("loaded")] * self._modules


class Result(NamedTuple):
    """`failures` are the causes of other errors than Malformed, and dumps over the limits."""

    read: int
    refused: int
    frames: int
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
    parser.add_argument("--children", action="store_true", help="read each dump in a child process")
    options = parser.parse_args()
    read = process_in_child if options.children else process
    seeds = {name: write() for name, write in (SAMPLES | CORES).items()}
    seeds |= {path.name: path.read_bytes() for path in options.files}
    load_disassembler()
    if not options.children:  # these have a limit of their own
        limit_memory(options.megabytes)
    chance = random.Random(options.seed)
    rows, failures = [], Counter[str]()
    for name, content in seeds.items():
        before = peak()
        result = run(read, content, chance, options.count // len(seeds), options.milliseconds / 1000)
        failures += result.failures
        grown = f"{peak() - before:.1f}"
        figures = (result.read, result.refused, result.frames, f"{result.slowest * 1000:.1f}", grown)
        rows.append([name, len(content), *figures])
    rig.table(["dump", "bytes", "read", "refused", "frames", "slowest", "memory"], rows)
    for cause, number in failures.most_common():
        print(f"{number} times: {cause}")
    if failures:
        sys.exit("a dump was neither read nor refused, or was over the limits")


Process = Callable[[bytes, random.Random], int]


def run(process: Process, content: bytes, chance: random.Random, count: int, seconds: float) -> Result:
    """Read mutations of one dump."""
    read = refused = frames = 0
    slowest = 0.0
    failures = Counter[str]()
    for _ in range(count):
        mutant = mutate(mutate_instruction(content, chance), chance)
        started = cpu_seconds()
        try:
            frames += process(mutant, chance)
            read += 1
        except Malformed:
            refused += 1
        except Exception as error:  # noqa: BLE001
            failures[f"{type(error).__name__}: {error}"] += 1
        took = cpu_seconds() - started
        slowest = max(slowest, took)
        if took > seconds:
            failures[f"took more than {seconds} s"] += 1
    return Result(read, refused, frames, slowest, failures)


def mutate_instruction(content: bytes, chance: random.Random) -> bytes:
    """Return a dump with other bytes at the instruction pointer, or the same dump."""
    size = chance.choice((0, 0, 1, 2, 4, len(INSTRUCTION)))
    return content.replace(INSTRUCTION, chance.randbytes(size) + INSTRUCTION[size:])


def process(content: bytes, chance: random.Random) -> int:
    """Write the report of a dump. Return the number of its frames. Raises Malformed."""
    dump = read_dump(memoryview(content))
    symbols = MadeUpSymbols(chance, len(dump.modules.all))
    stacks = walk(dump, symbols)
    frames = [
        symbols.frames([ModulePlace(frame.module or 0, 0) for frame in stack.frames]) for stack in stacks
    ]
    write_report(dump, stacks, frames, symbols.states())
    return sum(map(len, frames))


def process_in_child(content: bytes, chance: random.Random) -> int:
    """Write the report of a dump in a child process. Return the number of its frames.

    Raises Malformed for a dump that is refused here, too, and RuntimeError for another that is refused.
    """
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            return process_dump(file, lambda modules: MadeUpSymbols(chance, len(modules))).frames
        except Malformed as error:
            process(content, chance)
            raise RuntimeError(f"refused by the child only: {error}") from None


def cpu_seconds() -> float:
    """Return the CPU time of this process and of children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


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

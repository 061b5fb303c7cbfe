"""Walks a dump of 100 threads with 30 frames each, with symbols that are in memory.

    python -m bench.unwind [--threads 100] [--frames 30] [--runs 7]

The dump is made here: x86_64, each frame found with call frame information as compilers write it, with six
saved registers. "same" has the same stack in all threads, as in a pool of threads that wait; in "other" each
thread has places of its own. Prints the median of the CPU time, and the number of calls for symbols.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import time
from collections.abc import Sequence

from tecken.symbolication.minidump.dump import (
    DumpModule,
    DumpThread,
    MemoryRegion,
    Minidump,
    Modules,
    Registers,
    SystemInfo,
)
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.minidump.unwind import walk
from tecken.symbols.lookup import Frame

BASE = 0x7F00_0000_0000
FUNCTION_BYTES = 0x100
FRAME_BYTES = 0x80
SAVED = ("$rbx", "$rbp", "$r12", "$r13", "$r14", "$r15")


class MemorySymbols:
    """Symbols of one module of equal functions."""

    calls = 0

    def prepare(self, modules: Sequence[int]) -> None:
        pass

    def unwind_info(self, places: Sequence[ModulePlace]) -> Sequence[UnwindInfo | None]:
        self.calls += 1
        return [self._info(place.offset - place.offset % FUNCTION_BYTES) for place in places]

    def _info(self, start: int) -> UnwindInfo:
        lines = [f"STACK CFI INIT {start:x} {FUNCTION_BYTES:x} .cfa: $rsp 8 + .ra: .cfa -8 + ^"]
        lines += [
            f"STACK CFI {start + 2 * i:x} .cfa: $rsp {8 + 8 * i} + {name}: .cfa {-8 - 8 * i} + ^"
            for i, name in enumerate(SAVED, 1)
        ]
        lines.append(f"STACK CFI {start + 20:x} .cfa: $rsp {FRAME_BYTES} +")
        return UnwindInfo("", tuple(lines), 0)

    def are_functions(self, places: Sequence[ModulePlace]) -> Sequence[bool | None]:
        self.calls += 1
        return [True for _ in places]

    def frames(self, places: Sequence[ModulePlace]) -> Sequence[Frame | None]:
        return [None for _ in places]

    def states(self) -> Sequence[ModuleState]:
        return []


def make_thread(number: int, frames: int, first: int) -> DumpThread:
    """Return a thread whose frames are in the functions from the first one on."""
    base = 0x7FFC_0000_0000 + number * 0x10_0000
    addresses = [BASE + (first + i) * FUNCTION_BYTES + 0x80 for i in range(frames)]
    words = [0] * (frames * FRAME_BYTES // 8)
    for i, address in enumerate([*addresses[1:], 0]):
        words[(i + 1) * FRAME_BYTES // 8 - 1] = address
    registers: Registers = {"rip": addresses[0], "rsp": base, "rbp": 0} | {name[1:]: 1 for name in SAVED}
    stack = MemoryRegion(base, memoryview(struct.pack(f"<{len(words)}Q", *words)))
    return DumpThread(number, registers, stack)


def make_dump(threads: int, frames: int, *, is_same: bool) -> Minidump:
    """Return a dump of threads with the same places, or with places of their own."""
    system = SystemInfo("Linux", "6.1", "amd64", None, 8)
    modules = Modules([DumpModule(BASE, 1 << 28, "libx.so")])
    made = tuple(make_thread(i, frames, 0 if is_same else i * frames) for i in range(threads))
    return Minidump(system, modules, (), made, None, 0, 1, None, {}, ())


def main() -> None:
    """Print the CPU time of both kinds of dumps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    for name, is_same in (("same", True), ("other", False)):
        dump = make_dump(args.threads, args.frames, is_same=is_same)
        times, calls = [], 0
        for _ in range(args.runs):
            symbols = MemorySymbols()
            start = time.process_time()
            stacks = walk(dump, symbols)
            times.append(time.process_time() - start)
            calls = symbols.calls
        assert {len(stack.frames) for stack in stacks} == {args.frames}
        print(f"{name:<6} {statistics.median(times) * 1000:7.1f} ms  {calls} calls")


if __name__ == "__main__":
    main()

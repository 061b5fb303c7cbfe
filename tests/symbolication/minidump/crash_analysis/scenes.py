"""Crashes of x86-64 for tests: an instruction, registers, mapped memory, and what the system reports."""

from __future__ import annotations

from tecken.symbolication.minidump.crash_analysis import CrashScene, analyze_crash
from tecken.symbolication.minidump.dump import CrashInfo, MemoryRegion, Registers
from tecken.symbolication.minidump.findings import CrashAnalysis
from tecken.symbolication.minidump.memory import MemoryMap
from tecken.symbolication.minidump.protections import MappedRange, Protections
from tests.support.minidumps import AMD64_REGISTERS, words

CODE = 0x40_1000
STACK = 0x7FFD_0000_1000
HEAP = 0x7F00_1234_5000
TARGET = 0x40_2222
# None of these is near another one, and none is zero.
REGISTERS = {name: 0x1_0000_0000 * (number + 1) for number, name in enumerate(AMD64_REGISTERS)} | {
    "rip": CODE,
    "rsp": STACK,
}
MAPPINGS = (
    MappedRange(CODE, 0x1000, "rx"),
    MappedRange(HEAP, 0x4000, "rw"),
    MappedRange(STACK - 0x1000, 0x1000, ""),
    MappedRange(STACK, 0x2000, "rw"),
)


def scene(code: str, registers: Registers | None = None, os: str = "Linux", cpu: str = "amd64") -> CrashScene:
    """Return a scene with an instruction in hexadecimal; the stack and the heap begin with TARGET."""
    stack = MemoryRegion(STACK, memoryview(words(8, TARGET)))
    heap = MemoryRegion(HEAP, memoryview(words(8, TARGET)))
    regions = [MemoryRegion(CODE, memoryview(bytes.fromhex(code))), stack, heap]
    return CrashScene(
        os, cpu, REGISTERS | (registers or {}), stack, MemoryMap(regions), Protections(MAPPINGS)
    )


def analyze(
    code: str, reason: str = "SIGSEGV / SEGV_MAPERR", address: int = 0, os: str = "Linux", **registers: int
) -> CrashAnalysis:
    """Return the findings about a crash at an instruction."""
    return analyze_crash(CrashInfo(reason, address), scene(code, registers, os))

"""Analysis of a crash: its instruction, the address that caused it, and whether hardware may be at fault.

Each part uses the registers, the code and the mapped memory as the dump has them, and finds nothing without.

Source: `processor.rs` of minidump-processor 0.27, whose results these are, but for `stack_overflow`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final, NamedTuple

from tecken.symbolication.minidump.crash_analysis.bit_flips import CANONICAL_BITS, OTHER_BITS, BitFlipSearch
from tecken.symbolication.minidump.crash_analysis.inconsistencies import (
    NON_CANONICAL,
    VIOLATIONS,
    find_inconsistencies,
    is_protection_fault,
)
from tecken.symbolication.minidump.crash_analysis.stack_overflow import find_stack_overflow
from tecken.symbolication.minidump.dump import CrashInfo, MemoryRegion, Registers
from tecken.symbolication.minidump.findings import (
    AdjustedAddress,
    BitFlip,
    CrashAnalysis,
    CrashInstruction,
    MemoryAccess,
)
from tecken.symbolication.minidump.memory import MemoryMap
from tecken.symbolication.minidump.protections import Protections

DISASSEMBLED_CPU: Final = "amd64"
# A guard page between stacks is smaller than this; larger unusable mappings are reserved memory.
_MAX_GUARD_BYTES: Final = 32 << 10


@cache
def load_disassembler() -> ModuleType | None:
    """Return the module with the disassembler; None where its library is not installed.

    It is imported for the first dump that needs it, which takes 37 ms. A process that may open no files has
    to call this before.
    """
    try:
        return import_module("tecken.symbolication.minidump.crash_analysis.disassembly")
    except ImportError:
        return None


class CrashScene(NamedTuple):
    """What a dump has of the process at its crash.

    `os` and `cpu` are those of `SystemInfo`, `registers` those at the exception, and `stack` is that of the
    thread that crashed. `memory` is in the dump, `protections` has all that was mapped.
    """

    os: str
    cpu: str
    registers: Registers | None
    stack: MemoryRegion | None
    memory: MemoryMap
    protections: Protections


def analyze_crash(crash: CrashInfo, scene: CrashScene) -> CrashAnalysis:
    """Return the findings about a crash, whose reason and address are those that the system reported."""
    os, cpu, registers, stack, memory, protections = scene
    instruction = None
    disassembler = load_disassembler() if cpu == DISASSEMBLED_CPU and registers else None
    if disassembler:
        instruction = disassembler.disassemble(registers, memory, stack)
    adjusted = _adjust(crash, os, instruction) if instruction else None
    flips: tuple[BitFlip, ...] = ()
    if cpu == DISASSEMBLED_CPU:
        flips = _find_flips(crash, scene, instruction, adjusted)
    pointer = registers.get("rip") if registers else None
    inconsistencies = tuple(find_inconsistencies(crash, os, instruction, pointer, protections))
    overflow = find_stack_overflow(crash, registers, protections)
    if instruction is None:
        return CrashAnalysis(bit_flips=flips, inconsistencies=inconsistencies, stack_overflow=overflow)
    accesses = instruction.accesses
    if accesses is not None:
        accesses = tuple(_mark_guard_page(access, protections) for access in accesses)
    return CrashAnalysis(
        instruction.text, accesses, instruction.target, adjusted, flips, inconsistencies, overflow
    )


def _adjust(crash: CrashInfo, os: str, instruction: CrashInstruction) -> AdjustedAddress | None:
    """Return the address that an instruction used, if it is null or the system could not report it."""
    if instruction.accesses is None:
        return None
    used = [(access.address, access.is_null_based) for access in instruction.accesses]
    if instruction.target is not None:
        used.append((instruction.target, not instruction.target))
    for address, is_null_based in used:
        if is_null_based:
            return AdjustedAddress("null-pointer", address)
    if is_protection_fault(crash, os):
        for address, _ in used:
            if address in NON_CANONICAL:
                return AdjustedAddress("non-canonical", address)
    return None


def _find_flips(
    crash: CrashInfo,
    scene: CrashScene,
    instruction: CrashInstruction | None,
    adjusted: AdjustedAddress | None,
) -> tuple[BitFlip, ...]:
    """Return possible flips of the address of a crash, and of the registers that it was computed from."""
    if adjusted and adjusted.kind == "null-pointer":
        return ()
    address = adjusted.value if adjusted else crash.address
    accesses = (instruction.accesses if instruction else None) or ()
    size = None
    for access in accesses:
        if 0 <= crash.address - access.address < (access.size or 0):
            address, size = access.address, access.size
            break
    bits = OTHER_BITS if adjusted else CANONICAL_BITS
    registers = scene.registers
    search = BitFlipSearch(bits, scene.protections, registers, VIOLATIONS.get(crash.reason, ""), size)
    flips = search.find(address)
    for name in instruction.pointers if instruction else ():
        if registers and name in registers:
            flips += search.find(registers[name], name)
    return tuple(flips)


def _mark_guard_page(access: MemoryAccess, protections: Protections) -> MemoryAccess:
    """Return an access with whether it is to a small unusable mapping right beside a usable one."""
    mapping = protections.find(access.address)
    if mapping is None or mapping.allowed or mapping.size > _MAX_GUARD_BYTES:
        return access
    is_guard_page = any(neighbour.allowed for neighbour in protections.neighbours(mapping))
    return access._replace(is_guard_page=is_guard_page)

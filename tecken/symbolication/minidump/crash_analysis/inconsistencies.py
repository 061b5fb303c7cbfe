"""Contradictions between the reported reason of a crash and its instruction, as faulty hardware causes them.

Only what is known counts: a report is consistent if the dump lacks the instruction or the mapped memory.

Source: `processor.rs` of minidump-processor 0.27.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tecken.symbolication.minidump.dump import CrashInfo
from tecken.symbolication.minidump.findings import CrashInstruction, MemoryAccess
from tecken.symbolication.minidump.protections import Protections

NON_CANONICAL: Final = range(0x0000_8000_0000_0000, 0xFFFF_8000_0000_0000)
"""Addresses whose upper 16 bits are not those of bit 47. No processor of x86-64 can use them."""

STACK_OVERFLOW: Final = "EXCEPTION_STACK_OVERFLOW"
VIOLATIONS: Final = {
    "EXCEPTION_ACCESS_VIOLATION_READ": "r",
    "EXCEPTION_ACCESS_VIOLATION_WRITE": "w",
    "EXCEPTION_ACCESS_VIOLATION_EXEC": "x",
}
"""Reasons of Windows, and the letter of what was not allowed, as in `MappedRange.allowed`."""

_DIVISION_BY_ZERO: Final = (
    *("SIGFPE / FPE_INTDIV", "EXC_ARITHMETIC / EXC_I386_DIV", "EXC_ARITHMETIC / EXC_PPC_ZERO_DIVIDE"),
    "EXCEPTION_INT_DIVIDE_BY_ZERO",
)
_PRIVILEGED: Final = ("EXCEPTION_PRIV_INSTRUCTION", "STATUS_PRIVILEGED_INSTRUCTION")
# By the system: the reason and the address that it reports for an address that is not canonical.
_PROTECTION_FAULTS: Final = {
    "Windows NT": ({"EXCEPTION_ACCESS_VIOLATION_READ"}, 0xFFFF_FFFF_FFFF_FFFF),
    "Mac OS X": ({"EXC_BAD_ACCESS / EXC_I386_GPFLT"}, 0),
    "Linux": ({"SIGSEGV / SI_KERNEL", "SIGBUS / SI_KERNEL"}, 0),
}


def is_protection_fault(crash: CrashInfo, os: str) -> bool:
    """Return whether a crash is what a system reports for an address that is not canonical.

    Accesses that are not aligned have the same report, and those to the address that it names.
    """
    reasons, address = _PROTECTION_FAULTS.get(os, ((), 0))
    return crash.reason in reasons and crash.address == address


def find_inconsistencies(
    crash: CrashInfo,
    os: str,
    instruction: CrashInstruction | None,
    pointer: int | None,
    protections: Protections,
) -> Iterator[str]:
    """Yield the names of the inconsistencies.

    Args:
        crash: The reason and the address.
        os: The system, as in `SystemInfo`.
        instruction: The instruction at the crash.
        pointer: Its address.
        protections: The mapped memory.
    """
    if crash.reason in _DIVISION_BY_ZERO and instruction and not instruction.is_division:
        yield "int_div_by_zero_not_possible"
    if crash.reason in _PRIVILEGED and instruction and not instruction.is_privileged:
        yield "priv_instruction_crash_without_priv_instruction"
    if crash.reason not in VIOLATIONS and crash.reason != STACK_OVERFLOW:
        return
    is_missing = instruction is not None and _is_access_missing(crash, instruction, pointer)
    if is_missing and is_protection_fault(crash, os):
        if instruction and _has_no_cause(instruction):
            yield "non_canonical_address_falsely_reported"
        return
    if is_missing:
        yield "crashing_access_not_found_in_memory_accesses"
    mapping = protections.find(crash.address)
    if mapping and crash.reason in VIOLATIONS and VIOLATIONS[crash.reason] in mapping.allowed:
        yield "access_violation_when_access_allowed"


def _is_access_missing(crash: CrashInfo, instruction: CrashInstruction, pointer: int | None) -> bool:
    """Return whether an instruction cannot have made the access that is reported."""
    accesses = instruction.accesses
    if accesses is None:
        return False
    need = VIOLATIONS.get(crash.reason)
    if need == "x":
        return pointer != crash.address
    if need is None:
        return instruction.is_explained and not accesses
    kinds = ("read" if need == "r" else "write", "readwrite")
    return instruction.is_explained and not any(
        access.kind in kinds and _covers(access, crash.address) for access in accesses
    )


def _covers(access: MemoryAccess, address: int) -> bool:
    """Return whether an access includes an address; it can continue at 0 behind the last address."""
    return access.size is not None and (address - access.address) % (1 << 64) < access.size


def _has_no_cause(instruction: CrashInstruction) -> bool:
    """Return whether nothing that an instruction uses can be the cause of a protection fault."""
    if not instruction.is_explained or instruction.needs_alignment:
        return False
    if instruction.is_jump and instruction.target is None:
        return False
    addresses = [access.address for access in instruction.accesses or ()]
    return not any(address in NON_CANONICAL for address in (*addresses, instruction.target or 0))

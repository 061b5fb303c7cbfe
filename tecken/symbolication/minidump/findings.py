"""What an analysis of a crash finds: the instruction, the memory it uses, and what may be wrong."""

from __future__ import annotations

from typing import NamedTuple


class MemoryAccess(NamedTuple):
    """Memory that an instruction uses.

    `size` is in bytes, None if it depends on the state of the processor. `kind` is "read", "write" or
    "readwrite", and "" for an instruction whose operands are not known to be one of these. With
    `is_null_based` the register with the address was zero.
    """

    address: int
    size: int | None
    kind: str
    is_null_based: bool
    is_guard_page: bool = False


class CrashInstruction(NamedTuple):
    """Instruction at which a program crashed.

    `accesses` is None if a register with an address is unknown. `target` is the address that it jumps to,
    None if it does not jump or that is unknown. `pointers` are the registers that its operands in memory are
    relative to. With `is_explained` the uses of all operands are known.
    """

    text: str
    accesses: tuple[MemoryAccess, ...] | None
    target: int | None
    pointers: tuple[str, ...]
    is_explained: bool
    is_jump: bool
    is_division: bool
    is_privileged: bool
    needs_alignment: bool


class AdjustedAddress(NamedTuple):
    """Address that caused the crash where the system reports another one.

    `kind` is "non-canonical" with the address as `value`, or "null-pointer" with the offset from zero.
    """

    kind: str
    value: int


class BitFlip(NamedTuple):
    """Address in use that differs by one bit from the one of the crash, or from a register at the crash.

    `confidence` is between 0 and 1. The other values are what it is derived from: `was_low` is whether a
    small number would become null, `nearby_registers` the number of registers that point close to `address`,
    and `has_poison` whether a register has the pattern of freed or uninitialized memory.
    """

    address: int
    register: str | None
    was_non_canonical: bool
    is_null: bool
    was_low: bool
    nearby_registers: int
    has_poison: bool
    confidence: float


class StackOverflow(NamedTuple):
    """Stack [base, base + size) that a thread has used up, with an access `distance` bytes below it."""

    base: int
    size: int
    distance: int


class CrashAnalysis(NamedTuple):
    """Findings about a crash. None means unknown; `accesses` is empty for an instruction without any.

    `target` is where the instruction would continue if that is not the next one. `inconsistencies` are names
    of rust-minidump's, such as "int_div_by_zero_not_possible".
    """

    instruction: str | None = None
    accesses: tuple[MemoryAccess, ...] | None = None
    target: int | None = None
    adjusted: AdjustedAddress | None = None
    bit_flips: tuple[BitFlip, ...] = ()
    inconsistencies: tuple[str, ...] = ()
    stack_overflow: StackOverflow | None = None

"""Instruction at which a program crashed: its text, the memory it uses, and where it continues.

Only x86-64 is disassembled, as in rust-minidump, with the library iced-x86. Whether an operand is read or
written is told for the same instructions as there; for others it is left open.

Source: `op_analysis.rs` of minidump-processor 0.27.
"""

from __future__ import annotations

from typing import Final

from iced_x86 import Decoder, Instruction, MemorySizeExt, Mnemonic, OpKind, Register

from tecken.symbolication.minidump.crash_analysis.instruction_text import REGISTER_NAMES, format_instruction
from tecken.symbolication.minidump.dump import MemoryRegion, Registers
from tecken.symbolication.minidump.findings import CrashInstruction, MemoryAccess
from tecken.symbolication.minidump.memory import MemoryMap

MAX_INSTRUCTION_BYTES: Final = 15
_WORD: Final = 8
_ADDRESS_MASK: Final = (1 << 64) - 1
_CONDITIONAL_JUMPS: Final = (
    *(Mnemonic.JO, Mnemonic.JNO, Mnemonic.JB, Mnemonic.JAE, Mnemonic.JE, Mnemonic.JNE, Mnemonic.JA),
    *(Mnemonic.JBE, Mnemonic.JS, Mnemonic.JNS, Mnemonic.JP, Mnemonic.JNP, Mnemonic.JL, Mnemonic.JGE),
    *(Mnemonic.JG, Mnemonic.JLE),
)
_RETURNS: Final = (Mnemonic.RET, Mnemonic.RETF, Mnemonic.IRET, Mnemonic.IRETD, Mnemonic.IRETQ)
_CALLS: Final = (Mnemonic.CALL, Mnemonic.JMP)
# How instructions use each of their operands in memory; LEA only computes an address.
_OPERANDS: Final[dict[int, tuple[str, ...]]] = {
    **dict.fromkeys((Mnemonic.ADD, Mnemonic.SUB), ("readwrite", "read")),
    **dict.fromkeys((Mnemonic.DEC, Mnemonic.INC), ("readwrite",)),
    **dict.fromkeys((Mnemonic.CMP, Mnemonic.UCOMISS), ("read", "read")),
    **dict.fromkeys((Mnemonic.MOV, Mnemonic.MOVAPS, Mnemonic.MOVUPS), ("write", "read")),
    **dict.fromkeys((Mnemonic.CALL, Mnemonic.JMP, Mnemonic.PUSH), ("read",)),
    Mnemonic.POP: ("write",),
    **dict.fromkeys((Mnemonic.LEA, Mnemonic.RET, Mnemonic.RETF, *_CONDITIONAL_JUMPS), ()),
}
_PUSHES: Final = (Mnemonic.CALL, Mnemonic.PUSH)
_POPS: Final = {Mnemonic.POP: 8, Mnemonic.RET: 8, Mnemonic.RETF: 10}
_DIVISIONS: Final = (Mnemonic.DIV, Mnemonic.IDIV)
_PRIVILEGED: Final = frozenset(
    (
        *(Mnemonic.CLI, Mnemonic.CLTS, Mnemonic.HLT, Mnemonic.IN, Mnemonic.INSB, Mnemonic.INSW),
        *(Mnemonic.INSD, Mnemonic.INT, Mnemonic.INT1, Mnemonic.INT3, Mnemonic.INTO, Mnemonic.INVD),
        *(Mnemonic.INVEPT, Mnemonic.INVLPG, Mnemonic.INVVPID, Mnemonic.IRET, Mnemonic.IRETD),
        *(Mnemonic.IRETQ, Mnemonic.LGDT, Mnemonic.LIDT, Mnemonic.LLDT, Mnemonic.LMSW, Mnemonic.LTR),
        *(Mnemonic.MONITOR, Mnemonic.MOV, Mnemonic.MWAIT, Mnemonic.OUT, Mnemonic.OUTSB, Mnemonic.OUTSW),
        *(Mnemonic.OUTSD, Mnemonic.RDMSR, Mnemonic.RDPMC, Mnemonic.RDTSC, Mnemonic.RDTSCP),
        *(Mnemonic.RETF, Mnemonic.STI, Mnemonic.SWAPGS, Mnemonic.SYSEXIT, Mnemonic.SYSEXITQ),
        *(Mnemonic.SYSRET, Mnemonic.SYSRETQ, Mnemonic.VMCALL, Mnemonic.VMCLEAR, Mnemonic.VMLAUNCH),
        *(Mnemonic.VMPTRLD, Mnemonic.VMPTRST, Mnemonic.VMREAD, Mnemonic.VMRESUME, Mnemonic.VMWRITE),
        *(Mnemonic.VMXOFF, Mnemonic.VMXON, Mnemonic.WBINVD, Mnemonic.WRMSR, Mnemonic.XSETBV),
    )
)
# Operands in memory, and the register with their address; those with addresses of 16 and 32 bits have none.
_IMPLIED: Final = {
    OpKind.MEMORY_ESRDI: Register.RDI,
    OpKind.MEMORY_SEG_RDI: Register.RDI,
    OpKind.MEMORY_SEG_RSI: Register.RSI,
}
_MEMORY: Final = range(OpKind.MEMORY_SEG_SI, OpKind.MEMORY + 1)


def disassemble(
    registers: Registers, memory: MemoryMap, stack: MemoryRegion | None
) -> CrashInstruction | None:
    """Return the instruction at the instruction pointer; None if the dump does not have it, or it is none.

    Args:
        registers: Those of x86-64 at the crash.
        memory: The memory in the dump.
        stack: The stack of the thread.
    """
    pointer = registers["rip"]
    region = memory.find(pointer)
    if region is None:
        return None
    start = pointer - region.base
    code = bytes(region.content[start : start + MAX_INSTRUCTION_BYTES])
    decoded = Decoder(64, code, ip=pointer).decode()
    if not decoded:
        return None
    operands = [number for number in range(decoded.op_count) if _is_memory(decoded, number)]
    names = {name for number in operands for name in _pointers(decoded, number)}
    return CrashInstruction(
        text=format_instruction(decoded),
        accesses=_read_accesses(decoded, operands, registers),
        target=_find_target(decoded, operands, registers, memory, stack),
        pointers=tuple(sorted(names)),
        is_explained=_is_explained(decoded),
        is_jump=decoded.mnemonic in (*_CALLS, *_RETURNS, *_CONDITIONAL_JUMPS),
        is_division=decoded.mnemonic in _DIVISIONS,
        is_privileged=decoded.mnemonic in _PRIVILEGED,
        needs_alignment=decoded.mnemonic == Mnemonic.MOVAPS,
    )


def _is_explained(decoded: Instruction) -> bool:
    return decoded.mnemonic in _OPERANDS and not decoded.is_call_far_indirect


# Memory


def _is_memory(decoded: Instruction, operand: int) -> bool:
    # A masked store may write nothing. XLAT's table is no operand in rust-minidump.
    is_unsure = decoded.mnemonic == Mnemonic.XLATB or (operand == 0 and decoded.op_mask != Register.NONE)
    return decoded.op_kind(operand) in _MEMORY and not is_unsure


def _pointers(decoded: Instruction, operand: int) -> list[str]:
    """Return the names of the registers that the address of an operand is the sum of."""
    kind = decoded.op_kind(operand)
    if kind != OpKind.MEMORY:
        return [REGISTER_NAMES[_IMPLIED[kind]] if kind in _IMPLIED else "short address"]
    registers = (decoded.memory_base, decoded.memory_index)
    return [REGISTER_NAMES[register] for register in registers if register != Register.NONE]


def _address(decoded: Instruction, operand: int, registers: Registers) -> tuple[int, bool] | None:
    """Return the address of an operand and whether its base is null; None if a register is unknown.

    The base of a segment is not in dumps, and counts as zero.
    """
    names = _pointers(decoded, operand)
    if not all(name in registers for name in names):
        return None
    if decoded.op_kind(operand) != OpKind.MEMORY:
        address = registers[names[0]]
        return address, not address
    base = REGISTER_NAMES[decoded.memory_base] if decoded.memory_base != Register.NONE else None
    address = decoded.memory_displacement
    # The library has added the instruction pointer to the displacement.
    if base and decoded.memory_base != Register.RIP:
        address += registers[base]
    if decoded.memory_index != Register.NONE:
        address += registers[REGISTER_NAMES[decoded.memory_index]] * decoded.memory_index_scale
    return address & _ADDRESS_MASK, base is not None and not registers[base]


def _read_accesses(
    decoded: Instruction, operands: list[int], registers: Registers
) -> tuple[MemoryAccess, ...] | None:
    """Return the memory that an instruction uses, with the stack; None if an address is unknown."""
    kinds = _OPERANDS.get(decoded.mnemonic) if _is_explained(decoded) else None
    size = MemorySizeExt.size(decoded.memory_size) or None
    accesses = []
    for operand in operands if decoded.mnemonic != Mnemonic.LEA else ():
        found = _address(decoded, operand, registers)
        if found is None:
            return None
        accesses.append(MemoryAccess(found[0], size, kinds[operand] if kinds else "", found[1]))
    stack = registers["rsp"]
    if decoded.mnemonic in _PUSHES and kinds:
        # The processor restores the stack pointer of an instruction that faults.
        stack = stack - _WORD & _ADDRESS_MASK
        accesses.append(MemoryAccess(stack, size or _WORD, "write", not stack))
    elif decoded.mnemonic in _POPS:
        accesses.append(MemoryAccess(stack, size or _POPS[decoded.mnemonic], "read", not stack))
    return tuple(accesses)


# Jumps


def _find_target(
    decoded: Instruction,
    operands: list[int],
    registers: Registers,
    memory: MemoryMap,
    stack: MemoryRegion | None,
) -> int | None:
    """Return the address that a call, a jump or a return continues at; None if it is unknown."""
    if decoded.mnemonic in _RETURNS:
        return stack.read(registers["rsp"], _WORD) if stack else None
    if decoded.mnemonic not in _CALLS:
        return None
    if decoded.op0_kind == OpKind.REGISTER:
        return registers.get(REGISTER_NAMES[decoded.op0_register])
    found = _address(decoded, operands[0], registers) if operands else None
    region = memory.find(found[0]) if found else None
    return region.read(found[0], _WORD) if region and found else None

"""Stack overflow of systems that report it as an access to memory, as Linux and macOS do.

Below a stack is memory that cannot be used: a guard of some pages, or as much as the kernel keeps free. An
access to it close to the stack pointer has used up the stack. A wild pointer is elsewhere.
"""

from __future__ import annotations

from typing import Final

from tecken.symbolication.minidump.dump import CrashInfo, Registers
from tecken.symbolication.minidump.findings import StackOverflow
from tecken.symbolication.minidump.protections import Protections

# Beginnings of the reasons of a bad access. Windows has a reason of its own for an overflow, but for a thread
# that had one before.
_BAD_ACCESS: Final = ("SIGSEGV", "SIGBUS", "EXC_BAD_ACCESS", "EXCEPTION_ACCESS_VIOLATION")
_POINTERS: Final = ("rsp", "esp", "sp")
# Bytes below the stack pointer that code accesses: a pushed word, the red zone, and probes of large frames.
_BELOW_POINTER: Final = 64 << 10
# Bytes that Linux keeps free below a stack (stack_guard_gap of 256 pages); a larger frame is not recognized.
_BELOW_STACK: Final = 1 << 20
# No system has smaller stacks (PTHREAD_STACK_MIN).
_LEAST_STACK: Final = 16 << 10


def find_stack_overflow(
    crash: CrashInfo, registers: Registers | None, protections: Protections
) -> StackOverflow | None:
    """Return the stack that a crash has used up; None if it has another cause, or the dump does not tell."""
    pointer = next((registers[name] for name in _POINTERS if name in registers), None) if registers else None
    if pointer is None or not crash.reason.startswith(_BAD_ACCESS):
        return None
    stack = protections.find_usable(crash.address)
    # The pointer is in the stack, or in the unusable memory below it.
    if stack is None or protections.find_usable(pointer) != stack or "w" not in stack.allowed:
        return None
    distance = stack.base - crash.address
    is_below = 0 < distance <= _BELOW_STACK and pointer - crash.address <= _BELOW_POINTER
    if not is_below or stack.base - pointer > _BELOW_STACK or stack.size < _LEAST_STACK:
        return None
    return StackOverflow(stack.base, stack.size, distance)

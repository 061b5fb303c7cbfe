"""Contexts of threads: the processor's registers, as in the structures of winnt.h and of crash handlers.

Registers have the names and the order of rust-minidump's JSON. Floating point registers are not read: no
unwinding needs them. Contexts of PowerPC, SPARC and MIPS are not supported.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import Registers


class _Layout(NamedTuple):
    """Layout of a context.

    `fields` has the registers in the order of the structure, from the offset `start` on; a field that is not
    in `shown` is skipped. `flags` is where the flags are, and `mark` the bit that names the processor.
    """

    size: int
    flags: int
    mark: int
    start: int
    values: Struct
    fields: tuple[str, ...]
    shown: tuple[str, ...]


_AMD64: Final = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
_AMD64_SHOWN: Final = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", *_AMD64[8:])
_X86: Final = ("edi", "esi", "ebx", "edx", "ecx", "eax", "ebp", "eip", "cs", "eflags", "esp")
_X86_SHOWN: Final = ("eip", "esp", "ebp", "ebx", "esi", "edi", "eax", "ecx", "edx", "eflags")
_ARM: Final = (*(f"r{number}" for number in range(11)), "fp", "r12", "sp", "lr", "pc")
_ARM_SHOWN: Final = (*_ARM[:11], "r12", "fp", "sp", "lr", "pc")
_ARM64: Final = (*(f"x{number}" for number in range(29)), "fp", "lr", "sp", "pc")

# By the processor architecture in the dump's system info.
_LAYOUTS: Final = {
    0: _Layout(716, 0, 0x1_0000, 156, Struct("<11I"), _X86, _X86_SHOWN),
    5: _Layout(368, 0, 0x4000_0000, 4, Struct("<16I"), _ARM, _ARM_SHOWN),
    9: _Layout(1232, 48, 0x10_0000, 120, Struct("<17Q"), _AMD64, _AMD64_SHOWN),
    10: _Layout(716, 0, 0x1_0000, 156, Struct("<11I"), _X86, _X86_SHOWN),
    12: _Layout(912, 0, 0x40_0000, 8, Struct("<33Q"), _ARM64, _ARM64),
    0x8003: _Layout(796, 0, 0x8000_0000, 8, Struct("<33Q"), _ARM64, _ARM64),
}
# Bits of all processors. Others say which groups of registers a context has; they are not looked at, as the
# writers fill in all general registers.
_MARKS: Final = 0xF15F_0000
_FLAGS: Final = Struct("<I")

REGISTER_NAMES: Final = {"x86": _X86_SHOWN, "amd64": _AMD64_SHOWN, "arm": _ARM_SHOWN, "arm64": _ARM64}
"""Names of the general registers by `SystemInfo.cpu`, in the order in which they are shown."""


def read_context(content: memoryview, architecture: int) -> Registers | None:
    """Return the registers in a context; None if it is cut, of another processor, or not supported."""
    layout = _LAYOUTS.get(architecture)
    if layout is None or len(content) < layout.size:
        return None
    (flags,) = _FLAGS.unpack_from(content, layout.flags)
    if flags & _MARKS != layout.mark:
        return None
    values = dict(zip(layout.fields, layout.values.unpack_from(content, layout.start), strict=True))
    return {name: values[name] for name in layout.shown}

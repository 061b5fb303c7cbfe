"""Processors as data: their registers, and what calls and valid addresses look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tecken.symbolication.minidump.contexts import REGISTER_NAMES
from tecken.symbolication.minidump.dump import Registers
from tecken.symbolication.minidump.stack import Trust

Read = Callable[[int], int | None]
"""Reader of the pointer at an address of the stack; None for an address that is not in it."""

# Addresses below are those of a page that no program maps.
FIRST_ADDRESS: Final = 4096


class Architecture(NamedTuple):
    """Processor. Registers have the names of `dump.Registers`; `aliases` are other names of them.

    `saved` are the registers that a function restores before it returns. A return address minus
    `call_bytes` is an address in the call. `code` is the first and the last address of code, and `gap` a
    range of addresses in between that cannot be used.
    """

    name: str
    pointer_bytes: int
    instruction: str
    stack: str
    frame: str
    saved: tuple[str, ...]
    registers: frozenset[str]
    call_bytes: int
    code: tuple[int, int]
    gap: range = range(0)
    aliases: Mapping[str, str] = {}

    @property
    def largest(self) -> int:
        """Largest number that a register can have."""
        return int((1 << 8 * self.pointer_bytes) - 1)

    def register(self, name: str) -> str | None:
        """Return the register of a name or an alias."""
        name = self.aliases.get(name, name)
        return name if name in self.registers else None

    def is_code(self, address: int) -> bool:
        """Return whether an address may be one of code."""
        return self.code[0] <= address <= self.code[1] and address not in self.gap


class CallerFrame(NamedTuple):
    """Caller of a frame that one of the ways has found. `registers` are those that are known."""

    instruction: int
    stack: int
    trust: Trust
    registers: Registers


X86: Final = Architecture(
    "x86",
    pointer_bytes=4,
    instruction="eip",
    stack="esp",
    frame="ebp",
    saved=("ebp", "ebx", "edi", "esi"),
    registers=frozenset(REGISTER_NAMES["x86"]),
    call_bytes=1,
    code=(1, (1 << 32) - 1),
)

AMD64: Final = Architecture(
    "amd64",
    pointer_bytes=8,
    instruction="rip",
    stack="rsp",
    frame="rbp",
    saved=("rbx", "rbp", "r12", "r13", "r14", "r15"),
    registers=frozenset(REGISTER_NAMES["amd64"]),
    call_bytes=1,
    code=(1, (1 << 64) - 1),
    # Addresses have 48 bits, and the last one is repeated in those above.
    gap=range(1 << 47, (1 << 64) - (1 << 47)),
)

ARM: Final = Architecture(
    "arm",
    pointer_bytes=4,
    instruction="pc",
    stack="sp",
    frame="fp",
    saved=("r4", "r5", "r6", "r7", "r8", "r9", "r10", "fp"),
    registers=frozenset(REGISTER_NAMES["arm"]),
    call_bytes=2,
    code=(0, (1 << 32) - 1),
    aliases={"r11": "fp", "r13": "sp", "r14": "lr", "r15": "pc"},
)

ARM64: Final = Architecture(
    "arm64",
    pointer_bytes=8,
    instruction="pc",
    stack="sp",
    frame="fp",
    saved=(*(f"x{number}" for number in range(19, 29)), "fp"),
    registers=frozenset(REGISTER_NAMES["arm64"]),
    call_bytes=4,
    code=(FIRST_ADDRESS, (1 << 52) - 1),
    aliases={"x29": "fp", "x30": "lr"},
)

ARCHITECTURES: Final = {arch.name: arch for arch in (X86, AMD64, ARM, ARM64)}
SUPPORTED: Final = "x86, x86-64, ARM and ARM64 are supported"

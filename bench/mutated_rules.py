"""Unwind information of symbol files, changed at random: STACK CFI rules, and STACK WIN records for x86.

The changed records have addresses that minidump-stackwalk accepts: it drops a whole symbol file for one that
it cannot parse. Records of one kind do not overlap.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

CHANGES: Final = (1, 2, 8, 30)
WORDS: Final = """
    .cfa .ra .cfa: .ra: .undef ^ + - * / % @ = 0 1 -1 4 8 -8 16 0x10 ff 18446744073709551615
    $rsp $rbp $rip $rbp: $ebp $esp $eip $ebx $eip: sp pc lr fp x29 x30 r11
"""
WIN_WORDS: Final = """
    $T0 $T1 $T2 $eip $esp $ebp $ebx $esi $edi $L $P $rax ^ + - * / % @ = .undef 0 1 4 8 16 -4
    .raSearch .raSearchStart .cbParams .cbLocals .cbCalleeParams .cbSavedRegs
"""
# Those of Microsoft's compilers, and one without a frame.
PROGRAMS: Final = (
    "$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =",
    "$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + =",
    "$T1 .raSearch = $T0 $T1 4 - 8 @ = $ebp $T1 4 - ^ = $eip $T1 ^ = $esp $T1 4 + =",
    "$T0 $ebp = $T2 $esp = $T1 .raSearchStart = $eip $T1 ^ = $ebp $T0 = $esp $T1 4 + = "
    "$L $T0 .cbSavedRegs - = $P $T1 4 + .cbParams + =",
    "$T0 $ebp = $T1 .raSearchStart .cbLocals + = $eip $T1 ^ = $ebp $T1 4 - ^ = $esp $T1 4 + = "
    "$ebx $T0 28 - ^ =",
    "$eip $esp ^ = $esp $esp 4 + =",
)
SIZES: Final = (0, 0, 4, 4, 8, 12, 16, 20, 32, 60, 0xFFFF_FFFF)

Rewrite = Callable[[bytes, random.Random], bytes]


def mutate_cfi(sym: bytes, chance: random.Random) -> bytes:
    """Return a symbol file with some words of its STACK CFI rules changed."""
    lines = sym.decode().split("\n")
    records = [number for number, line in enumerate(lines) if line.startswith("STACK CFI ")]
    for _ in range(chance.choice(CHANGES) if records else 0):
        number = chance.choice(records)
        words = lines[number].split(" ")
        begin = 5 if words[2] == "INIT" else 3
        others = lines[chance.choice(records)].split(" ")
        lines[number] = " ".join(words[:begin] + _mutate(words[begin:], WORDS, others[3:], chance))
    return "\n".join(lines).encode()


def mutate_win(sym: bytes, chance: random.Random) -> bytes:
    """Return a symbol file with STACK WIN records for most functions, and sometimes without STACK CFI."""
    keeps_cfi = chance.random() < 0.3
    lines = [
        line for line in sym.decode().split("\n") if line and (keeps_cfi or not line.startswith("STACK"))
    ]
    functions = [line.replace("FUNC m ", "FUNC ").split(" ") for line in lines if line.startswith("FUNC ")]
    places = sorted((int(start, 16), int(size, 16)) for _, start, size, *_ in functions)
    records = [_win_record(start, size, chance) for start, size in places if chance.random() < 0.8]
    return "\n".join([*lines, *records, ""]).encode()


def _win_record(start: int, size: int, chance: random.Random) -> str:
    kind = chance.choice((4, 4, 4, 0, 0, 1, 2))
    has_program = kind == 4
    sizes = " ".join(f"{chance.choice(SIZES):x}" for _ in range(6))
    rest = _program(chance) if has_program else str(chance.randrange(2))
    return f"STACK WIN {kind} {start:x} {size:x} {sizes} {has_program:d} {rest}"


def _program(chance: random.Random) -> str:
    words = chance.choice(PROGRAMS).split(" ")
    for _ in range(chance.choice((0, 1, 2, 6))):
        words = _mutate(words, WIN_WORDS, chance.choice(PROGRAMS).split(" "), chance)
    return " ".join(words)


def _mutate(words: Sequence[str], vocabulary: str, others: Sequence[str], chance: random.Random) -> list[str]:
    """Return words of which one is replaced, added or removed, or the last are those of another record."""
    at = chance.randrange(len(words)) if words else 0
    word = chance.choice(vocabulary.split())
    changed = (
        [*words[:at], word, *words[at + 1 :]],
        [*words[:at], word, *words[at:]],
        [*words[:at], *words[at + 1 :]],
        [*words[:at], *others[at:]],
    )
    return list(chance.choice(changed)) or [word]

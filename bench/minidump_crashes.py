"""Compare the analysis of crashes with that of minidump-stackwalk, at random instructions of libraries.

    python -m bench.minidump_crashes --count 2500 --seed 1 [FILE ...]

Instructions are those in .text of the files, by default libc and libm. Registers are null, pointers into and
beside mapped memory, such pointers with a flipped bit, patterns of freed memory, and random numbers; systems,
reasons and addresses are random as well. Prints how many dumps have each key, and the keys that differ with
the instruction. What docs/minidumps.md lists as different is not compared: addresses relative to the
instruction pointer. The exit status is 1 if a key differs although the texts of the instruction are equal.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from struct import pack, unpack_from
from tempfile import TemporaryDirectory
from typing import Any, Final

from iced_x86 import Decoder

from tests.oracle.minidumps import differences, find_stackwalk, run_stackwalk
from tests.support.minidumps import (
    AMD64,
    AMD64_REGISTERS,
    ANDROID,
    LINUX,
    MACOS,
    MAPS,
    WINDOWS,
    DumpWriter,
    amd64_context,
    words,
)
from tests.symbolication.minidump.stackwalk import report_of

LIBRARIES: Final = [Path("/lib/x86_64-linux-gnu") / name for name in ("libc.so.6", "libm.so.6")]
MEMORY_INFO: Final = 16
CODE, LOW, STACK, HIGH = 0x5555_0000_1000, 0x1_0000, 0x7F00_1234_5000, 0x7FFE_FFFF_C000
# Mappings by address: size, what they allow, and PAGE_* of Windows.
MAPPINGS: Final = {
    LOW: (0x3000, "rw-p", 0x04),
    LOW + 0x3000: (0x1000, "---p", 0x01),
    CODE: (0x1000, "r-xp", 0x20),
    STACK - 0x1000: (0x1000, "---p", 0x01),
    STACK: (0x4000, "rw-p", 0x04),
    HIGH: (0x4000, "r--p", 0x02),
}
# Codes and flags of exceptions, and parameters of Windows' access violations.
SIGNALS: Final = ((11, 0x80), (11, 1), (7, 0x80), (8, 1), (4, 2))
MACH_EXCEPTIONS: Final = ((1, 13), (1, 1), (3, 1))
WINDOWS_CODES: Final = (*[0xC000_0005] * 6, 0xC000_0094, 0xC000_0096, 0xC000_00FD, 0x8000_0003)
Crash = Mapping[str, Any]


def read_instructions(files: list[Path]) -> list[bytes]:
    """Return the different instructions of files that do not use the instruction pointer for an address."""
    found = set()
    for file in files:
        content = file.read_bytes()
        start, size = find_text(content)
        code = content[start : start + size]
        at = 0
        for decoded in Decoder(64, code):
            if decoded and not decoded.is_ip_rel_memory_operand:
                found.add(code[at : at + decoded.len])
            at += decoded.len
    return sorted(found)


def find_text(content: bytes) -> tuple[int, int]:
    """Return the place of the section .text of an ELF file of 64 bits."""
    (table,) = unpack_from("<Q", content, 40)
    size, count, names = unpack_from("<HHH", content, 58)
    sections = [unpack_from("<IIQQQQ", content, table + size * number) for number in range(count)]
    place = sections[names][4]
    for name, _, _, _, offset, length in sections:
        if content[place + name : place + name + 6] == b".text\0":
            return offset, length
    raise SystemExit("file has no .text")


class CrashWriter:
    """Writer of dumps of random crashes."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def write(self, code: bytes) -> bytes:
        """Return a dump of a crash at an instruction."""
        chance = self._chance
        system = chance.choice((LINUX, LINUX, WINDOWS, WINDOWS, MACOS, ANDROID))
        registers = {name: self._number() for name in AMD64_REGISTERS} | {"rip": CODE}
        registers["rsp"] = chance.choice((STACK + 0x10, STACK + 0x10, registers["rsp"]))
        dump = DumpWriter(system, AMD64)
        stack = dump.memory(STACK, words(8, *(self._number() for _ in range(16))))
        dump.memory(LOW, words(8, *(self._number() for _ in range(64))))
        dump.memory(CODE, code)
        context = dump.thread(1, amd64_context(**registers), stack)
        address = chance.choice((0, (1 << 64) - 1, CODE, *registers.values()))
        parameters: tuple[int, ...] = ()
        if system == WINDOWS:
            reason, flags = chance.choice(WINDOWS_CODES), 0
            parameters = (chance.choice((0, 1, 8)), address) if reason == WINDOWS_CODES[0] else ()
        else:
            reason, flags = chance.choice(MACH_EXCEPTIONS if system == MACOS else SIGNALS)
        dump.exception(1, reason, flags, address, parameters, context)
        if chance.random() < 0.9:
            dump.stream(*(memory_info() if system == WINDOWS else maps()))
        return dump.content()

    def _number(self) -> int:
        """Return a value of a register or of memory."""
        chance = self._chance
        pointer = chance.choice(list(MAPPINGS)) + chance.randrange(0x4000)
        flipped = pointer ^ 1 << chance.randrange(64)
        wide, low = chance.getrandbits(64), chance.randrange(1 << 14)
        return chance.choice((0, 0, pointer, flipped, flipped, 0xE5E5_E5E5_E5E5_E5E5, wide, low))


def memory_info() -> tuple[int, bytes]:
    """Return the mappings as a stream of Windows."""
    records = [
        pack("<QQIIQIIII", base, base, 4, 0, size, 0x1000, protection, 0x2_0000, 0)
        for base, (size, _, protection) in MAPPINGS.items()
    ]
    return MEMORY_INFO, pack("<IIQ", 16, 48, len(records)) + b"".join(records)


def maps() -> tuple[int, bytes]:
    """Return the mappings as a stream of Linux."""
    lines = [
        f"{base:x}-{base + size:x} {letters} 00000000 00:00 0 \n"
        for base, (size, letters, _) in MAPPINGS.items()
    ]
    return MAPS, "".join(lines).encode()


def compare(ours: Crash, theirs: Crash) -> dict[str, str]:
    """Return the differences by the keys of crash_info."""
    return {line.split("/")[1].split(":")[0]: line for line in differences(ours, theirs)}


def main() -> int:
    """Compare crashes. Return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", default=LIBRARIES)
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    program = find_stackwalk()
    if not program:
        parser.error("install it first: cargo install minidump-stackwalk --version 0.27.0 --locked")
    instructions = read_instructions(options.files)
    chance, writer = random.Random(options.seed), CrashWriter(options.seed)
    keys, different = Counter[str](), Counter[str]()
    for _ in range(options.count):
        code = chance.choice(instructions)
        dump = writer.write(code)
        with TemporaryDirectory() as folder:
            theirs = run_stackwalk(program, dump, Path(folder))["crash_info"]
        found = compare(report_of(dump)["crash_info"], theirs)
        keys.update(key for key, value in theirs.items() if value)
        keys.update(theirs["crash_inconsistencies"])
        # Another decoding has other operands.
        different.update(["instruction"] if "instruction" in found else found.keys())
        for line in found.values():
            print(f"{code.hex()}: {line}")
    print(f"{len(instructions)} instructions, {options.count} crashes")
    print(f"with {dict(keys)}\ndifferent {dict(different)}")
    return int(bool(different.keys() - {"instruction"}))


if __name__ == "__main__":
    sys.exit(main())

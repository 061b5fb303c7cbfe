"""Native files with errors: mutations of good ones, and symbol tables with names that end demanglers."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
FOLDERS = ("native", "inlines", "cabinets")
HEAD_BYTES = 4096
WORDS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
KINDS = ("bits", "bits", "bytes", "head", "words", "copies", "end")
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def good_files() -> list[Path]:
    """Return the files of `tests/data`, in every format."""
    return sorted(path for folder in FOLDERS for path in (DATA / folder).iterdir())


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of files with some bytes changed or without their end."""
    chance = random.Random(seed)
    files = [(path.name, path.read_bytes()) for path in good_files()]
    for _ in range(count):
        name, content = chance.choice(files)
        yield name, mutate(content, chance)


def mutate(good: bytes, chance: random.Random) -> bytes:
    """Return a content with one kind of error, once or many times."""
    content = bytearray(good)
    kind = chance.choice(KINDS)
    if kind == "end":
        return bytes(content[: chance.randrange(len(content))])
    for _ in range(chance.choice((1, 2, 8, 40))):
        place = chance.randrange(min(len(content), HEAD_BYTES) if kind == "head" else len(content))
        if kind == "bits":
            content[place] ^= 1 << chance.randrange(8)
        elif kind == "words":
            content[place : place + 4] = chance.choice(WORDS)
        elif kind == "copies":
            start, size = chance.randrange(len(content)), chance.randrange(1, 64)
            content[place : place + size] = content[start : start + size]
        else:
            content[place] = chance.randrange(256)
    return bytes(content)


def unfolding_name(steps: int) -> str:
    """Return a mangled name of C++ each part of which has the one before it twice: 26 steps are 275 bytes."""
    name, last = "_Z1f1AIiiE", "S0_"
    for step in range(steps):
        name += f"S_I{last}{last}E"
        last = f"S{DIGITS[step + 1]}_"
    return name


def elf_with(names: Sequence[str]) -> bytes:
    """Return an ELF file with a function of one byte for each name."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    symbols, place = bytes(24), 1
    for number, name in enumerate(names):
        symbols += struct.pack("<IBBHQQ", place, 0x12, 0, 1, 0x1000 + number, 1)
        place += len(name.encode()) + 1
    titles = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    contents = (b"\xc3" * len(names), symbols, strings, titles)
    layout, offset = [], 64
    for content in contents:
        layout.append((offset, len(content)))
        offset += len(content)
    (code, table, texts, heads) = layout
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, offset, 0, 64, 56, 0, 64, 5, 4)
    sections = (
        bytes(64),
        struct.pack("<IIQQQQIIQQ", 1, 1, 6, 0x1000, *code, 0, 0, 1, 0),
        struct.pack("<IIQQQQIIQQ", 7, 2, 0, 0, *table, 3, 1, 1, 24),
        struct.pack("<IIQQQQIIQQ", 15, 3, 0, 0, *texts, 0, 0, 1, 0),
        struct.pack("<IIQQQQIIQQ", 23, 3, 0, 0, *heads, 0, 0, 1, 0),
    )
    return header + b"".join(contents) + b"".join(sections)

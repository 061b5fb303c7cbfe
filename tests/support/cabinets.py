"""CAB files as `symstore /compress` writes them, and with faults.

Source: Microsoft, "Microsoft Cabinet Format". `cabextract` reads those without faults.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

BLOCK = 32 << 10
PLAIN, MSZIP, QUANTUM, LZX = 0, 1, 0x1472, 0x1503


def cabinet(
    content: bytes,
    name: str = "native.pdb",
    method: int = MSZIP,
    *,
    files: int = 1,
    size: int | None = None,
    flags: int = 0,
    damage: int = 0,
) -> bytes:
    """Return a CAB file. `size` is what its header says, and `damage` is added to each checksum."""
    blocks = list(_blocks(content, method))
    data = b"".join(
        struct.pack("<IHH", (_checksum(packed, unpacked) + damage) & 0xFFFFFFFF, len(packed), unpacked)
        + packed
        for packed, unpacked in blocks
    )
    entry = struct.pack("<IIHHHH", len(content) if size is None else size, 0, 0, 0, 0, 0x20)
    entries = (entry + name.encode() + b"\0") * files
    start = 36 + 8 + len(entries)
    header = struct.pack(
        "<4sIIIIIBBHHHHH", b"MSCF", 0, start + len(data), 0, 44, 0, 3, 1, 1, files, flags, 0, 0
    )
    return header + struct.pack("<IHH", start, len(blocks), method) + entries + data


def _blocks(content: bytes, method: int) -> Iterator[tuple[bytes, int]]:
    """Yield each block, packed, and its unpacked size."""
    former = b""
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        if method == MSZIP:
            yield b"CK" + _deflate(block, former), len(block)
        elif method == LZX:
            yield _lzx(block, is_first=start == 0), len(block)
        else:
            yield block, len(block)
        former = block


def _deflate(block: bytes, former: bytes) -> bytes:
    """Return a block that refers to the one before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, former)
    return packer.compress(block) + packer.flush()


def _lzx(block: bytes, *, is_first: bool) -> bytes:
    """Return a block of LZX that is not compressed: its type, its size, three offsets, then its bytes."""
    # A bit at the start tells that addresses of calls were not changed.
    bits = f"{3:03b}{len(block):024b}"
    bits = (("0" if is_first else "") + bits).ljust(32, "0")
    words = (int(bits[:16], 2), int(bits[16:], 2))
    return struct.pack("<HHIII", *words, 1, 1, 1) + block + b"\0" * (len(block) % 2)


def _checksum(packed: bytes, unpacked: int) -> int:
    checksum = len(packed) | unpacked << 16
    end = len(packed) & ~3
    for (word,) in struct.iter_unpack("<I", packed[:end]):
        checksum ^= word
    return checksum ^ int.from_bytes(packed[end:], "big")

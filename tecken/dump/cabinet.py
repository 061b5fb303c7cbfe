"""File in a CAB file, unpacked with zlib; MSZIP is deflate in blocks of 32 KiB (MS-MCI).

The libraries of the package index read a CAB file as a whole and keep several copies in memory; this reads
one block at a time. LZX is left to the program in Rust.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from tecken.errors import Malformed
from tecken.symbols.formats import FileReader
from tecken.symbols.formats.cabinet import BLOCK_BYTES, LZX, PLAIN, Cabinet, read_cabinet

# Checksum, packed bytes, unpacked bytes.
_BLOCK: Final = Struct("<IHH")
_SIGNATURE: Final = b"CK"


def unpack(path: Path, out: BinaryIO) -> None:
    """Write the only file of a CAB file. Raises Malformed."""
    with path.open("rb") as file:
        cabinet = read_cabinet(FileReader(file, file.seek(0, 2)))
        if cabinet is None:
            raise Malformed("the file is no CAB file")
        if cabinet.method == LZX:
            raise Malformed("the CAB file is packed with LZX, which only tecken-dump reads")
        left = cabinet.size
        for block in _blocks(file, cabinet):
            left -= out.write(block[:left])
    if left:
        raise Malformed(f"the CAB file lacks {left} of {cabinet.size} bytes")
    out.flush()


def _blocks(file: BinaryIO, cabinet: Cabinet) -> Iterator[bytes]:
    """Yield the unpacked blocks. Each refers to the bytes of the one before."""
    file.seek(cabinet.offset)
    content = b""
    for number in range(cabinet.blocks):
        header = _read(file, _BLOCK.size + cabinet.block_reserve)
        checksum, packed_size, size = _BLOCK.unpack_from(header)
        packed = _read(file, packed_size)
        # Programs that sign their CAB files have bytes between header and content, and no common checksum.
        is_checked = checksum and not cabinet.block_reserve
        if is_checked and checksum != _xor_words(packed) ^ (packed_size | size << 16):
            raise Malformed(f"block {number} of the CAB file has another checksum")
        content = packed if cabinet.method == PLAIN else _inflate(packed, content)
        if len(content) != size:
            raise Malformed(f"block {number} of the CAB file has another size")
        yield content


def _inflate(packed: bytes, former: bytes) -> bytes:
    if not packed.startswith(_SIGNATURE):
        raise Malformed("a block of the CAB file does not begin like one of MSZIP")
    try:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=former)
        # One byte more than allowed, so that a longer block has another size.
        return inflater.decompress(packed[len(_SIGNATURE) :], BLOCK_BYTES + 1)
    except zlib.error as error:
        raise Malformed(f"a block of the CAB file cannot be unpacked: {error}") from None


def _xor_words(content: bytes) -> int:
    """Return the XOR of the words of 32 bits; the last one to three bytes are read in the other order."""
    end = len(content) & ~3
    number = int.from_bytes(content[:end], "little")
    # Halves are combined until one word is left.
    bits = 32 << max(0, (end // 4 - 1).bit_length())
    while bits > 32:
        bits //= 2
        number = (number >> bits) ^ (number & ((1 << bits) - 1))
    return number ^ int.from_bytes(content[end:], "big")


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise Malformed("the CAB file ends early")
    return content

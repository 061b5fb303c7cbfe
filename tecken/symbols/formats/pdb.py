"""PDB 7.0, as MSVC and lld write it.

Source: LLVM, "The PDB File Format" (MsfFile, PdbStream, DbiStream).
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.pe import MACHINES
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import NATIVE_TYPES

MAGIC: Final = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
OLD_MAGIC: Final = b"Microsoft C/C++ program database 2.00\r\n\x1aJG"
PACKED_MAGIC: Final = b"Microsoft MSFZ Container"
BLOCK_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))
MAX_STREAMS: Final = 65_536

_SUPERBLOCK: Final = Struct("<32sIIIIII")
_INFO: Final = Struct("<III16s")
_DBI: Final = Struct("<iIIHHHHHHIIIIIIIIHHI")
_INFO_STREAM, _DBI_STREAM = 1, 3
_ABSENT: Final = 0xFFFFFFFF
_IS_STRIPPED: Final = 2


class PdbStream(NamedTuple):
    """Stream of the container: its first block, and its size in bytes."""

    block: int
    size: int


class PdbFile:
    """Streams of one file. Its methods raise Malformed."""

    def __init__(self, file: FileReader) -> None:
        self._file = file
        _, self._block_size, _, _, size, _, map_block = file.fields(_SUPERBLOCK, 0)
        if self._block_size not in BLOCK_SIZES:
            raise Malformed(f"the PDB has blocks of {self._block_size} bytes")
        self._streams = self._read_streams(size, map_block)

    def read(self, stream: int, layout: Struct) -> tuple[int | bytes, ...] | None:
        """Return the fields at the start of a stream; None for a stream that is absent or shorter."""
        found = self._streams[stream] if stream < len(self._streams) else PdbStream(0, 0)
        if found.size < layout.size:
            return None
        return self._file.fields(layout, found.block * self._block_size)

    def _read_streams(self, size: int, map_block: int) -> list[PdbStream]:
        """Return the first streams of the directory."""
        block_size = self._block_size
        blocks = self._file.rows(Struct("<I"), map_block * block_size, _blocks(size, block_size))
        directory = b"".join(self._file.read(block * block_size, block_size) for (block,) in blocks)
        return _parse_directory(directory[:size], block_size)


class Pdb:
    """Format of PDB files."""

    name = "pdb"
    file_types = NATIVE_TYPES
    identity = "PDB information stream"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the information stream and the DBI stream."""
        if file.head.startswith(PACKED_MAGIC):
            raise Malformed("the PDB is compressed (MSFZ), and its id cannot be read")
        if file.head.startswith(OLD_MAGIC):
            raise Malformed("the PDB has the format before version 7.0, which is not supported")
        if not file.head.startswith(MAGIC):
            return ()
        pdb = PdbFile(file)
        info = pdb.read(_INFO_STREAM, _INFO)
        if info is None:
            raise Malformed("the PDB has no information stream")
        _, _, age, guid = info
        dbi = pdb.read(_DBI_STREAM, _DBI)
        machine, flags = (int(dbi[18]), int(dbi[17])) if dbi else (0, 0)
        return (
            ObjectInfo(
                Kind.SYMBOL_TABLE if flags & _IS_STRIPPED else Kind.DEBUG,
                self.name,
                MACHINES.get(machine, f"machine {machine:#x}") if dbi else "",
                debug_file="",
                # The linker raises the age in the DBI stream, and writes that one into the executable.
                debug_id=debug_id_of(bytes(guid), int(dbi[2]) if dbi else int(age)),
                # That of other processors is in the executable.
                has_unwinding=bool(dbi) and MACHINES.get(machine) == "x86",
            ),
        )

    def usability_check(self) -> None:
        """Return None: PDB files are not converted."""


def _parse_directory(directory: bytes, block_size: int) -> list[PdbStream]:
    """Return the streams up to the DBI stream: their sizes, then the numbers of the blocks of each."""
    number = Struct("<I")
    count = int.from_bytes(directory[:4], "little")
    if count > MAX_STREAMS or 4 + 4 * count > len(directory):
        raise Malformed("the directory of the PDB is cut short")
    position, streams = 4 + 4 * count, []
    for stream in range(min(count, _DBI_STREAM + 1)):
        (size,) = number.unpack_from(directory, 4 + 4 * stream)
        size = 0 if size == _ABSENT else size
        if size and position + 4 > len(directory):
            raise Malformed("the directory of the PDB is cut short")
        streams.append(PdbStream(number.unpack_from(directory, position)[0] if size else 0, size))
        position += 4 * _blocks(size, block_size)
    return streams


def _blocks(size: int, block_size: int) -> int:
    return -(-size // block_size)

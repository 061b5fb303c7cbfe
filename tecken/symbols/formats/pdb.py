"""PDB 7.0, as MSVC and lld write it, and the compressed form of the same streams.

Sources: LLVM, "The PDB File Format" (MsfFile, PdbStream, DbiStream); microsoft/pdb-rs, "MSFZ Container
Specification".
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.pe import MACHINES
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import NATIVE_TYPES

MAGIC: Final = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
OLD_MAGIC: Final = b"Microsoft C/C++ program database 2.00\r\n\x1aJG"
PACKED_MAGIC: Final = b"Microsoft MSFZ Container\r\n\x1aALD\0\0"
BLOCK_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))
MAX_STREAMS: Final = 65_536

# Bytes that are unpacked of one file to reach the starts of its streams. Writers have chunks of 4 MiB.
MAX_UNPACKED_BYTES: Final = 64 << 20

_SUPERBLOCK: Final = Struct("<32sIIIIII")
_INFO: Final = Struct("<III16s")
_DBI: Final = Struct("<iIIHHHHHHIIIIIIIIHHI")
_INFO_STREAM, _DBI_STREAM = 1, 3
_ABSENT: Final = 0xFFFFFFFF
_IS_STRIPPED: Final = 2

_PACKED_HEADER: Final = Struct("<32sQQQIIIIII")
_CHUNK: Final = Struct("<QIII")
_FRAGMENT: Final = Struct("<IQ")
_PLAIN, _ZSTD, _DEFLATE = 0, 1, 2
_IS_PACKED: Final = 1 << 63


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


class Fragment(NamedTuple):
    """Part of a stream of a compressed file: its size in bytes, and where it is."""

    size: int
    location: int


class PackedPdbFile:
    """Streams of one compressed file (MSFZ). Its methods raise Malformed."""

    def __init__(self, file: FileReader) -> None:
        self._file = file
        self._unpacked = 0
        _, version, directory, chunks, _, form, packed_size, size, count, _ = file.fields(_PACKED_HEADER, 0)
        if version:
            raise Malformed(f"the PDB has version {version} of MSFZ, which is not supported")
        self._streams = _parse_packed_directory(self._unpack(file.read(directory, packed_size), form, size))
        self._chunks = file.rows(_CHUNK, chunks, count)

    def read(self, stream: int, layout: Struct) -> tuple[int | bytes, ...] | None:
        """Return the fields at the start of a stream; None for a stream that is absent or shorter."""
        content = b""
        for fragment in self._streams[stream] if stream < len(self._streams) else ():
            content += self._read_fragment(fragment, layout.size - len(content))
            if len(content) == layout.size:
                return layout.unpack(content)
        return None

    def _read_fragment(self, fragment: Fragment, most: int) -> bytes:
        """Return the first bytes of a fragment, `most` at most."""
        size, location = min(fragment.size, most), fragment.location
        if not location & _IS_PACKED:
            return self._file.read(location, size)
        chunk, offset = (location & ~_IS_PACKED) >> 32, location & 0xFFFFFFFF
        content = b""
        # A fragment may continue in the next chunks.
        for place, form, packed_size, unpacked_size in self._chunks[chunk:]:
            if offset >= unpacked_size or len(content) == size:
                break
            end = min(offset + size - len(content), unpacked_size)
            content += self._unpack(self._file.read(place, packed_size), form, end)[offset:]
            offset = 0
        return content

    def _unpack(self, content: bytes, form: int, size: int) -> bytes:
        """Return the first bytes of unpacked content."""
        self._unpacked += size
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise Malformed("the streams of the PDB are packed in chunks that are too large")
        return unpack(content, form, size)


class Pdb:
    """Format of PDB files."""

    name = "pdb"
    file_types = NATIVE_TYPES
    identity = "PDB information stream"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the information stream and the DBI stream."""
        if file.head.startswith(OLD_MAGIC):
            raise Malformed("the PDB has the format before version 7.0, which is not supported")
        if file.head.startswith(MAGIC):
            pdb: PdbFile | PackedPdbFile = PdbFile(file)
        elif file.head.startswith(PACKED_MAGIC):
            pdb = PackedPdbFile(file)
        else:
            return ()
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
        """Return None: an engine finds later whether its symbols can be used."""


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


def _parse_packed_directory(directory: bytes) -> list[list[Fragment]]:
    """Return the fragments of the streams up to the DBI stream."""
    position = 0
    streams: list[list[Fragment]] = []
    for _ in range(_DBI_STREAM + 1):
        fragments: list[Fragment] = []
        while int.from_bytes(directory[position : position + 4], "little") not in (0, _ABSENT):
            if position + _FRAGMENT.size > len(directory):
                raise Malformed("the directory of the PDB is cut short")
            fragments.append(Fragment(*_FRAGMENT.unpack_from(directory, position)))
            position += _FRAGMENT.size
        position += 4
        streams.append(fragments)
    return streams


def unpack(content: bytes, form: int, size: int) -> bytes:
    """Return the first bytes of unpacked content. Raises Malformed."""
    if form == _ZSTD:
        return _unpack_zstd(content, size)
    if form == _DEFLATE:
        try:
            # For zlib, a length of 0 is no bound.
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, max(1, size))[:size]
        except zlib.error as error:
            raise Malformed(f"the PDB cannot be unpacked: {error}") from None
    if form != _PLAIN:
        raise Malformed(f"the PDB is compressed in form {form}, which is not supported")
    return content[:size]


def _unpack_zstd(content: bytes, size: int) -> bytes:
    try:
        # Here, because tecken-upload as one file has no compiled package.
        import zstandard  # noqa: PLC0415
    except ImportError:
        raise Malformed("the PDB is compressed with zstd: install the package zstandard") from None
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_UNPACKED_BYTES)
        with decompressor.stream_reader(content) as reader:
            return reader.read(size)
    except zstandard.ZstdError as error:
        raise Malformed(f"the PDB cannot be unpacked: {error}") from None


def _blocks(size: int, block_size: int) -> int:
    return -(-size // block_size)

"""Valid and invalid zip archives."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping

DIRECTORY_ENTRY = b"PK\x01\x02"
LOCAL_HEADER = b"PK\x03\x04"


def zipped(
    files: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]],
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    pairs: Iterable[tuple[str | zipfile.ZipInfo, bytes]] = (
        files.items() if isinstance(files, Mapping) else files
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in pairs:
            entry = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            archive.writestr(entry, content, compression)
    return made.getvalue()


def zipped_as(modes: Iterable[tuple[str, int]]) -> bytes:
    """Return an archive of one-byte members with these Unix modes."""
    entries = []
    for name, mode in modes:
        entry = zipfile.ZipInfo(name)
        entry.create_system, entry.external_attr = 3, mode << 16
        entries.append((entry, b"x"))
    return zipped(entries)


def without_utf8_flag(debug_file: bytes, system: int) -> bytes:
    """Return an archive with one member whose name has these bytes, made by a system of this number."""
    stand_in = b"~" * len(debug_file)
    entry = zipfile.ZipInfo(f"{stand_in.decode()}/ABCDEF012/x.sym")
    entry.create_system = system
    return zipped([(entry, b"x")]).replace(stand_in, debug_file)


def encrypted(archive: bytes) -> bytes:
    """Set the encryption flag of the first member."""
    at = archive.index(DIRECTORY_ENTRY) + 8
    return archive[:at] + struct.pack("<H", 1) + archive[at + 2 :]


def corrupted(archive: bytes) -> bytes:
    """Change the checksum of the first member, in its own header and in the directory."""
    for marker, offset in ((LOCAL_HEADER, 14), (DIRECTORY_ENTRY, 16)):
        at = archive.index(marker) + offset
        archive = archive[:at] + bytes(4) + archive[at + 4 :]
    return archive


def overlapping(archive: bytes) -> bytes:
    """Let the second of two members start where the first one does."""
    at = archive.rindex(DIRECTORY_ENTRY) + 42
    return archive[:at] + bytes(4) + archive[at + 4 :]


def deflated(content: bytes) -> bytes:
    """Return the raw deflate stream of these bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def packed_as(name: str, stream: bytes, content: bytes, size: int | None = None) -> bytes:
    """Return an archive whose only member has any bytes as its deflate stream.

    The checksum is that of `content`, and the size, too, unless another one is given.
    """
    raw, crc, size = name.encode(), zlib.crc32(content), len(content) if size is None else size
    fields = struct.pack("<5H3L2H", 20, 0, zipfile.ZIP_DEFLATED, 0, 33, crc, len(stream), size, len(raw), 0)
    entry = DIRECTORY_ENTRY + struct.pack("<H", 20) + fields + struct.pack("<3H2L", 0, 0, 0, 0, 0) + raw
    local = LOCAL_HEADER + fields + raw + stream
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end

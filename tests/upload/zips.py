"""Archives as clients send them, and as nobody should."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping

DIRECTORY_ENTRY = b"PK\x01\x02"
LOCAL_HEADER = b"PK\x03\x04"


def zipped(
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    pairs = files.items() if isinstance(files, Mapping) else files
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return made.getvalue()


def encrypted(archive: bytes) -> bytes:
    """With the flag of the first member set."""
    at = archive.index(DIRECTORY_ENTRY) + 8
    return archive[:at] + struct.pack("<H", 1) + archive[at + 2 :]


def corrupted(archive: bytes) -> bytes:
    """Another checksum of the first member, in its own header and in the directory."""
    for marker, offset in ((LOCAL_HEADER, 14), (DIRECTORY_ENTRY, 16)):
        at = archive.index(marker) + offset
        archive = archive[:at] + bytes(4) + archive[at + 4 :]
    return archive


def overlapping(archive: bytes) -> bytes:
    """The second member of two starts where the first one does."""
    at = archive.rindex(DIRECTORY_ENTRY) + 42
    return archive[:at] + bytes(4) + archive[at + 4 :]

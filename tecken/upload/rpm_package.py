"""Members of RPM packages: two headers, and a packed cpio archive.

The headers are skipped, since nothing in them is needed. The package `rpmfile` unpacks payloads of zstd in
memory as a whole, so the 110 bytes before each member are parsed here. Nothing is extracted.

Sources: rpm.org, "RPM V4 Package format"; cpio(5), "New ASCII Format".
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from struct import Struct
from typing import Final

from tecken.errors import InvalidInput, TooLarge
from tecken.upload.archive import ENTRY_BYTES, ArchiveLimits, IgnoredFile, OpenArchive, check_count
from tecken.upload.tar_archive import FileSlice

RPM_MAGIC: Final = b"\xed\xab\xee\xdb"
LEAD_BYTES: Final = 96
HEADER_MAGIC: Final = b"\x8e\xad\xe8"
# Magic of a package with a file of more than 4 GiB: its members have neither names nor sizes of their own.
STRIPPED_MAGIC: Final = b"07070X"
LAST_NAME: Final = "TRAILER!!!"
# Directories count, too.
ENTRIES_PER_MEMBER: Final = 4
# As Linux allows; the name of a member ends in a zero.
MAX_NAME_BYTES: Final = 4096

_HEADER: Final = Struct(">3sxxxxxII")
_INDEX_BYTES: Final = 16
_CPIO_HEADER_BYTES: Final = 6 + 8 * 13
_MEMBER: Final = re.compile(rb"07070[12][0-9A-Fa-f]{104}")


def find_payload(file: FileSlice) -> FileSlice:
    """Return the packed cpio archive of a package. Raise InvalidInput."""
    # The first header has signatures, and its end is filled to a multiple of 8 bytes.
    signatures_end = _end_of_header(file, LEAD_BYTES)
    end = _end_of_header(file, -(-signatures_end // 8) * 8)
    return file.part(end, max(0, file.size - end), file.name)


def _end_of_header(file: FileSlice, start: int) -> int:
    content = file.at(start, _HEADER.size)
    if len(content) < _HEADER.size or not content.startswith(HEADER_MAGIC):
        raise InvalidInput("The RPM package has a broken header")
    _, entries, size = _HEADER.unpack(content)
    return start + _HEADER.size + _INDEX_BYTES * int(entries) + int(size)


def list_cpio(file: FileSlice, limits: ArchiveLimits) -> OpenArchive:
    """Return the regular files of a cpio archive, and its links and special files as ignored.

    Raises:
        InvalidInput: The archive is broken.
        TooLarge: The archive exceeds a limit.
    """
    members: list[FileSlice] = []
    ignored: list[IgnoredFile] = []
    entries_left, names_left = limits.members * ENTRIES_PER_MEMBER, limits.members * ENTRY_BYTES
    for mode, content in _entries(file):
        entries_left -= 1
        names_left -= len(content.name)
        if entries_left < 0 or names_left < 0:
            raise TooLarge(f"The RPM package has more than {limits.members} files, or very long names")
        if stat.S_ISREG(mode):
            members.append(content)
        elif not stat.S_ISDIR(mode):
            ignored.append(IgnoredFile(content.name, "it is a link or a special file"))
        check_count(len(members) + len(ignored), limits)
    return OpenArchive(members, ignored)


def _entries(file: FileSlice) -> Iterator[tuple[int, FileSlice]]:
    """Yield the mode and content of each member."""
    position = 0
    while True:
        header = file.at(position, _CPIO_HEADER_BYTES)
        if header.startswith(STRIPPED_MAGIC):
            raise InvalidInput("The RPM package has a file of more than 4 GiB, which is not supported")
        fields = _parse_fields(header)
        mode, size, name_size = fields[1], fields[6], fields[11]
        if not 0 < name_size <= MAX_NAME_BYTES:
            raise InvalidInput(f"The RPM package has a name of {name_size} bytes")
        name_start = position + _CPIO_HEADER_BYTES
        name = file.at(name_start, name_size).rstrip(b"\0").decode(errors="replace")
        if name == LAST_NAME:
            return
        start = _aligned(name_start + name_size)
        yield mode, file.part(start, size, name)
        position = _aligned(start + size)


def _parse_fields(header: bytes) -> list[int]:
    if not _MEMBER.fullmatch(header):
        raise InvalidInput("The RPM package ends early, or has a broken member")
    return [int(header[start : start + 8], 16) for start in range(6, _CPIO_HEADER_BYTES, 8)]


def _aligned(position: int) -> int:
    return -(-position // 4) * 4

"""Which files an archive may have, and what they are called. Nothing is unpacked to find out.

Source: PKWARE, APPNOTE.TXT (zip).
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, BinaryIO, Final, NamedTuple

from tecken.errors import BadInput, TooMuch
from tecken.symbols.ids import MAX_NAME
from tecken.symbols.layouts import FileKey
from tecken.upload.member_names import common_directory, file_key, is_ignored, member_name, relative_parts

CHUNK_BYTES: Final = 256 << 10
ENTRY_BYTES: Final = 1024  # of the archive's directory, on average; the names we allow are shorter
LOCAL_HEADER_BYTES: Final = 30  # a member's own header, without its name
ENCRYPTED: Final = 0x41  # flag bits: traditional and strong encryption
# The system that made an entry: FAT and NTFS have the attributes of Windows in the low bits.
WINDOWS_SYSTEMS: Final = (0, 10, 11)
# The attribute of Windows for links and mount points.
REPARSE_POINT: Final = 0x400
COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
SMALL_BYTES: Final = 1 << 20  # a ratio says nothing of less
PATTERN: Final = (
    "Unrecognized file pattern. Should only be <module>/<hex>/<file> or <name>-symbols.txt and nothing else. "
    "(First unrecognized pattern was {})"
)
BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    struct.error,
    ValueError,
    OSError,
)


class Limits(NamedTuple):
    """`unpacked` and `member` in bytes; `ratio` is bytes unpacked for one in the archive."""

    unpacked: int
    member: int
    members: int
    ratio: int


class Member(NamedTuple):
    """File of an archive; `name` as its maker meant it."""

    key: FileKey
    name: str
    info: zipfile.ZipInfo


class _Entry(NamedTuple):
    name: str
    parts: list[str]
    info: zipfile.ZipInfo


class Listing(NamedTuple):
    members: list[Member]
    ignored: list[str]


@contextmanager
def opened(file: BinaryIO, members: int) -> Iterator[zipfile.ZipFile]:
    """Raises BadInput; TooMuch for a directory that `members` entries do not need."""
    try:
        archive = zipfile.ZipFile(_Capped(file, members * ENTRY_BYTES))
    except BROKEN:
        raise BadInput("File is not a zip file") from None
    with archive:
        yield archive


class _Capped:
    """zipfile reads an archive's directory at once, whatever size the archive says it has."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = max(limit, CHUNK_BYTES)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size > self._limit:
            raise TooMuch(f"The archive's directory has {size} bytes, at most {self._limit}")
        return self._file.read(size)


def listing(infos: Sequence[zipfile.ZipInfo], limits: Limits, snippets: Collection[str] = ()) -> Listing:
    """What to keep and what to leave out. Raises BadInput, or TooMuch for what is over a limit."""
    if len(infos) > limits.members:
        raise TooMuch(f"The archive has {len(infos)} files, at most {limits.members}")
    # Not is_dir(), which fails for an entry without a name.
    files = [info for info in infos if not info.filename.endswith(("/", "\\"))]
    if not files:
        raise BadInput("The archive has no files")
    for info in files:
        _refuse(info, limits, snippets)
    _refuse_sum(files, limits)
    _refuse_overlap(infos)
    return _sorted(list(map(_entry, files)))


def _entry(info: zipfile.ZipInfo) -> _Entry:
    name = member_name(info)
    parts = relative_parts(name)
    if parts is None:
        raise BadInput(PATTERN.format(name[:MAX_NAME]))
    return _Entry(name, parts, info)


def _sorted(entries: Sequence[_Entry]) -> Listing:
    top = common_directory([entry.parts for entry in entries])
    members, ignored = [], []
    for name, parts, info in entries:
        below = parts[1:] if parts[0] == top else parts
        if is_ignored(below) or is_ignored(parts):
            ignored.append(name)
        else:
            members.append(Member(_key(below, name), name, info))
    return Listing(_once(members), ignored)


def content(archive: zipfile.ZipFile, member: Member) -> Iterator[bytes]:
    """A member's bytes, no more than its entry says; any thread may read. Raises BadInput."""
    try:
        with archive.open(member.info) as file:
            yield from _chunks(file)
    except BROKEN as error:
        raise BadInput(f"{member.name} cannot be unpacked: {error}") from None


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _refuse(info: zipfile.ZipInfo, limits: Limits, snippets: Collection[str]) -> None:
    whole_name = member_name(info)
    name, size, packed = whole_name[:MAX_NAME], info.file_size, info.compress_size
    for snippet in snippets:
        if snippet in whole_name.replace("\\", "/"):
            raise BadInput(f"Content of archive file contains the snippet '{snippet}' which is not allowed")
    if info.flag_bits & ENCRYPTED:
        raise BadInput(f"The archive has an encrypted file: {name}")
    if not _is_regular(info):
        raise BadInput(f"The archive has a link or special file, send the file itself: {name}")
    if info.compress_type not in COMPRESSIONS:
        raise BadInput(f"The archive has a file that is neither deflated nor stored: {name}")
    if size > limits.member:
        raise TooMuch(f"{name} has {size} bytes, at most {limits.member}")
    if size > max(SMALL_BYTES, packed * limits.ratio):
        raise TooMuch(f"{name} unpacks to more than {limits.ratio} times its size")


def _refuse_sum(files: Iterable[zipfile.ZipInfo], limits: Limits) -> None:
    total = sum(info.file_size for info in files)
    if total > limits.unpacked:
        raise TooMuch(f"The archive unpacks to {total} bytes, at most {limits.unpacked}")


def _refuse_overlap(infos: Iterable[zipfile.ZipInfo]) -> None:
    """Entries that share bytes multiply them."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise BadInput(f"The archive's files overlap: {info.filename[:MAX_NAME]}")
        end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size


def _is_regular(info: zipfile.ZipInfo) -> bool:
    """Return False for a symbolic link, FIFO, device or socket: its content is a path or nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_reparse_point = info.create_system in WINDOWS_SYSTEMS and info.external_attr & REPARSE_POINT
    return kind in (0, stat.S_IFREG) and not is_reparse_point


def _key(parts: Sequence[str], name: str) -> FileKey:
    try:
        return file_key("/".join(parts))
    except BadInput:
        raise BadInput(PATTERN.format(name[:MAX_NAME])) from None


def _once(members: Iterable[Member]) -> list[Member]:
    """The same file twice is one; two files under one name are a mistake."""
    kept: dict[FileKey, Member] = {}
    for member in members:
        first, second = kept.setdefault(member.key, member).info, member.info
        both = f"The zipfile buffer contains two files both called {member.name} and they have "
        if first.file_size != second.file_size:
            raise BadInput(f"{both}difference sizes ({first.file_size} != {second.file_size})")
        if first.CRC != second.CRC:
            raise BadInput(f"{both}different content")
    return list(kept.values())

"""Members of a zip archive: rules that read only the archive's directory, and two ways to read a member.

The rules decode the members' names, and find the keys that these stand for and the names to leave out.

Source: PKWARE, APPNOTE.TXT (zip), for names sections 4.4.2, 4.6.9 and appendix D; Microsoft, "Using
SymStore"; RFC 1951 (deflate); RFC 1952 (gzip).
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import BinaryIO, Final, NamedTuple
from zipfile import ZipInfo

from tecken.errors import InvalidInput, TooLarge
from tecken.symbols.ids import MAX_NAME, normal_debug_id
from tecken.symbols.layouts import FileKey

CHUNK_BYTES: Final = 256 << 10
# The average size of an entry in the archive's directory. Allowed names need less.
ENTRY_BYTES: Final = 1024
# A member's own header, without its name.
LOCAL_HEADER_BYTES: Final = 30
# Flag bits of traditional and strong encryption.
ENCRYPTED: Final = 0x41
# Systems that made an entry: FAT and NTFS have the attributes of Windows in the low bits.
WINDOWS_SYSTEMS: Final = (0, 10, 11)
# The attribute of Windows for links and mount points.
REPARSE_POINT: Final = 0x400
COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The compression ratio of smaller files is not checked: a few bytes of text can exceed any ratio.
SMALL_BYTES: Final = 1 << 20
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


class ArchiveLimits(NamedTuple):
    """Bounds of an archive: unpacked bytes in total and of a member, members, and the compression ratio."""

    unpacked: int
    member: int
    members: int
    ratio: int


class ArchiveMember(NamedTuple):
    """File of an archive; `name` is decoded the way the archiver encoded it."""

    key: FileKey
    name: str
    info: zipfile.ZipInfo


class _NamedEntry(NamedTuple):
    name: str
    parts: list[str]
    info: zipfile.ZipInfo


class Listing(NamedTuple):
    """Members to store, and the names of files that are left out."""

    members: list[ArchiveMember]
    ignored: list[str]


@contextmanager
def open_archive(file: BinaryIO, members: int) -> Iterator[zipfile.ZipFile]:
    """Open a zip file whose directory is no larger than `members` entries need.

    Raises:
        InvalidInput: The file is not a zip file.
        TooLarge: The directory is larger.
    """
    try:
        archive = zipfile.ZipFile(_CappedReader(file, members * ENTRY_BYTES))
    except BROKEN:
        raise InvalidInput("File is not a zip file") from None
    with archive:
        yield archive


class _CappedReader:
    """File that refuses large reads.

    `zipfile` reads an archive's directory in one call, of the size that the archive declares. A forged size
    would fill the memory before any member is checked.
    """

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
            raise TooLarge(f"The archive's directory has {size} bytes, at most {self._limit}")
        return self._file.read(size)


def list_members(
    infos: Sequence[zipfile.ZipInfo], limits: ArchiveLimits, snippets: Collection[str] = ()
) -> Listing:
    """Return the members to store and the names to leave out.

    Args:
        infos: The entries of the archive's directory.
        limits: The bounds of the archive.
        snippets: Texts that no member's name may contain.

    Raises:
        InvalidInput: An entry is not allowed.
        TooLarge: The archive exceeds a limit.
    """
    if len(infos) > limits.members:
        raise TooLarge(f"The archive has {len(infos)} files, at most {limits.members}")
    # Not is_dir(), which fails for an entry without a name.
    files = [info for info in infos if not info.filename.endswith(("/", "\\"))]
    if not files:
        raise InvalidInput("The archive has no files")
    for info in files:
        _check_entry(info, limits, snippets)
    _check_total_size(files, limits)
    _check_overlaps(infos)
    return _sort_out(list(map(_parse_entry, files)))


def _parse_entry(info: zipfile.ZipInfo) -> _NamedEntry:
    name = member_name(info)
    parts = relative_parts(name)
    if parts is None:
        raise InvalidInput(PATTERN.format(name[:MAX_NAME]))
    return _NamedEntry(name, parts, info)


def _sort_out(entries: Sequence[_NamedEntry]) -> Listing:
    top = common_directory([entry.parts for entry in entries])
    members, ignored = [], []
    for name, parts, info in entries:
        below = parts[1:] if parts[0] == top else parts
        if is_ignored(below) or is_ignored(parts):
            ignored.append(name)
        else:
            members.append(ArchiveMember(_parse_key(below, name), name, info))
    return Listing(_merge_duplicates(members), ignored)


def read_member(archive: zipfile.ZipFile, member: ArchiveMember) -> Iterator[bytes]:
    """Yield a member's bytes, at most as many as its entry declares.

    Raises InvalidInput; safe in any thread.
    """
    try:
        with archive.open(member.info) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except BROKEN as error:
        raise InvalidInput(f"{member.name} cannot be unpacked: {error}") from None


def _check_entry(info: zipfile.ZipInfo, limits: ArchiveLimits, snippets: Collection[str]) -> None:
    whole_name = member_name(info)
    name, size, packed = whole_name[:MAX_NAME], info.file_size, info.compress_size
    for snippet in snippets:
        if snippet in whole_name.replace("\\", "/"):
            raise InvalidInput(
                f"Content of archive file contains the snippet '{snippet}' which is not allowed"
            )
    if info.flag_bits & ENCRYPTED:
        raise InvalidInput(f"The archive has an encrypted file: {name}")
    if not _is_regular(info):
        raise InvalidInput(f"The archive has a link or special file, send the file itself: {name}")
    if info.compress_type not in COMPRESSIONS:
        raise InvalidInput(f"The archive has a file that is neither deflated nor stored: {name}")
    if size > limits.member:
        raise TooLarge(f"{name} has {size} bytes, at most {limits.member}")
    # A zip bomb is a small archive that unpacks to a huge file.
    if size > max(SMALL_BYTES, packed * limits.ratio):
        raise TooLarge(f"{name} unpacks to more than {limits.ratio} times its size")


def _check_total_size(files: Iterable[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    total = sum(info.file_size for info in files)
    if total > limits.unpacked:
        raise TooLarge(f"The archive unpacks to {total} bytes, at most {limits.unpacked}")


def _check_overlaps(infos: Iterable[zipfile.ZipInfo]) -> None:
    """Raise InvalidInput when entries share packed bytes, as those of a zip bomb do."""
    # Sorted by their places, so that each entry has to be compared with the one before only.
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise InvalidInput(f"The archive's files overlap: {info.filename[:MAX_NAME]}")
        end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size


def _is_regular(info: zipfile.ZipInfo) -> bool:
    """Return False for a symbolic link, FIFO, device or socket: its content is a path or nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_reparse_point = info.create_system in WINDOWS_SYSTEMS and info.external_attr & REPARSE_POINT
    return kind in (0, stat.S_IFREG) and not is_reparse_point


def _parse_key(parts: Sequence[str], name: str) -> FileKey:
    try:
        return file_key("/".join(parts))
    except InvalidInput:
        raise InvalidInput(PATTERN.format(name[:MAX_NAME])) from None


def _merge_duplicates(members: Iterable[ArchiveMember]) -> list[ArchiveMember]:
    """Return one member for each key. Raises InvalidInput for two different files under one key."""
    merged: dict[FileKey, ArchiveMember] = {}
    for member in members:
        first, second = merged.setdefault(member.key, member).info, member.info
        both = f"The zipfile buffer contains two files both called {member.name} and they have "
        if first.file_size != second.file_size:
            raise InvalidInput(f"{both}difference sizes ({first.file_size} != {second.file_size})")
        if first.CRC != second.CRC:
            raise InvalidInput(f"{both}different content")
    return list(merged.values())


# Names of members

UTF8_FLAG: Final = 0x800
# Systems that made an entry. Unix and macOS write the bytes of the file name, mostly UTF-8.
UNIX_SYSTEMS: Final = (3, 19)
UNICODE_PATH: Final = 0x7075
KEY_PARTS: Final = 3
# Files that archivers and Microsoft's symstore add; in lower case.
IGNORED_DIRECTORIES: Final = ("__macosx", "000admin")
IGNORED_FILES: Final = (
    *(".ds_store", "thumbs.db", "desktop.ini"),
    *("pingme.txt", "index2.txt", "refs.ptr", "file.ptr"),
)
IGNORED_AT_THE_TOP: Final = "-symbols.txt"

_ID = re.compile(r"[0-9A-Fa-f]{1,128}")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]+")
_DRIVE = re.compile(r"[A-Za-z]:")


def file_key(name: str) -> FileKey:
    """Return the key of a path `<debug file>/<id>/<file name>`, with a normalized id. Raise InvalidInput."""
    parts = name.split("/")
    if len(parts) != KEY_PARTS or not all(map(_is_usable, parts)) or not _ID.fullmatch(parts[1]):
        raise InvalidInput(
            f"Unrecognized file pattern. Should only be <module>/<hex>/<file>, not {name[:MAX_NAME]}"
        )
    return FileKey(parts[0], normal_debug_id(parts[1]), parts[2])


def member_name(info: ZipInfo) -> str:
    """Return a member's name, decoded the way its archiver encoded it."""
    if info.flag_bits & UTF8_FLAG:
        return info.orig_filename
    # zipfile decodes every name without the UTF-8 flag as cp437, so this restores the bytes.
    try:
        raw = info.orig_filename.encode("cp437")
        if (path := _unicode_path(info.extra, raw)) is not None:
            return path.decode()
        if info.create_system in UNIX_SYSTEMS:
            return raw.decode()
    except UnicodeError:
        return info.orig_filename
    return info.orig_filename


def relative_parts(name: str) -> list[str] | None:
    """Return the parts of a path below the archive's top; None for a path that leads elsewhere."""
    # PostgreSQL cannot store a NUL, not even in the list of ignored names.
    if "\0" in name:
        return None
    parts = [part for part in name.replace("\\", "/").split("/") if part != "."]
    if ".." in parts or not parts or not parts[0] or _DRIVE.fullmatch(parts[0]):
        return None
    return parts


def is_ignored(parts: Sequence[str]) -> bool:
    """Return whether an archiver or a symbol store added this file."""
    *directories, name = (part.lower() for part in parts)
    return (
        name in IGNORED_FILES
        or name.startswith("._")
        or not set(IGNORED_DIRECTORIES).isdisjoint(directories)
        or (not directories and name.endswith(IGNORED_AT_THE_TOP))
    )


def common_directory(paths: Sequence[Sequence[str]]) -> str | None:
    """Return the directory that contains all modules, if the archive has one above them."""
    tops = {path[0] for path in paths if len(path) == KEY_PARTS + 1 and not is_ignored(path)}
    has_others = any(len(path) != KEY_PARTS + 1 and not is_ignored(path[1:] or path) for path in paths)
    return tops.pop() if len(tops) == 1 and not has_others else None


def _is_usable(part: str) -> bool:
    return part not in (".", "..") and len(part) <= MAX_NAME and bool(_NAME.fullmatch(part))


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """Return the UTF-8 name from the Unicode path field, unless its checksum is that of another name."""
    for kind, field in _fields(extra):
        if kind == UNICODE_PATH and len(field) >= 5:
            version, checksum = struct.unpack_from("<BL", field)
            if version == 1 and checksum == zlib.crc32(raw):
                return field[5:]
    return None


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


# Members as gzip

# A deflated member and a gzip file have the same content between different headers. Compression takes three
# fifths of the time of an upload, so the stream that the client has compressed is stored as it is.
#
# The stream is not trusted. The gzip file is unpacked while it is stored, so later readers get the bytes that
# were hashed then. A member with any fault is left to `read_member`, which alone decides whether it is
# accepted, and names the error.

PIECE_BYTES: Final = 64 << 10
# Bounds the memory of a stream that unpacks to many times its size.
TEXT_BYTES: Final = 256 << 10
# Symbol files shrink to between 0.07 and 0.28 of their size, even at zlib's fastest level. A member that has
# shrunk less is compressed again: its client may have chosen not to compress, and the storage keeps it for
# months.
LEAST_RATIO: Final = 3
# Magic number and method, without flags, time, level and system.
GZIP_HEADER: Final = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
# zlib's number for the largest window with a gzip wrapper.
GZIP_WINDOW: Final = 31


class NotReusable(Exception):
    """Error for packed bytes that are not exactly the deflate stream of what the archive declares."""


def is_reusable(info: ZipInfo) -> bool:
    """Return whether a member is compressed well enough to be stored as it is."""
    return info.compress_type == zipfile.ZIP_DEFLATED and info.compress_size * LEAST_RATIO <= info.file_size


def read_gzip(
    archive: zipfile.ZipFile, member: ArchiveMember, feed: Callable[[bytes], object]
) -> Iterator[bytes]:
    """Yield a member that is reusable as a gzip file, and pass the unpacked bytes to `feed`.

    Raises NotReusable, before the last piece at the latest. Safe in any thread.
    """
    try:
        yield from _verify(_wrap(archive, member.info), member.info.file_size, feed)
    except BROKEN as error:
        raise NotReusable(str(error)) from error


def _wrap(archive: zipfile.ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """Yield the packed bytes of a member between the header and the trailer of gzip."""
    # The packed bytes are read as those of a member that is stored, without a checksum. `open` checks the
    # member's own header, as it does for every member.
    packed = copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC
    yield GZIP_HEADER
    with archive.open(packed) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
    yield struct.pack("<LL", info.CRC, info.file_size & 0xFFFFFFFF)


def _verify(pieces: Iterator[bytes], size: int, feed: Callable[[bytes], object]) -> Iterator[bytes]:
    """Yield the pieces of a gzip file. Raise NotReusable or zlib.error if it is not one of `size` bytes."""
    unpacker, left = zlib.decompressobj(GZIP_WINDOW), size
    for piece in pieces:
        # Without this check, zlib would keep everything that follows the stream in memory.
        if unpacker.eof:
            raise NotReusable("bytes follow the stream")
        for text in _inflate(unpacker, piece):
            left -= len(text)
            if left < 0:
                raise NotReusable("it is longer than declared")
            feed(text)
        if unpacker.eof and (left or unpacker.unused_data):
            raise NotReusable("it is not of the declared size")
        yield piece
    if not unpacker.eof:
        raise NotReusable("the stream does not end")


def _inflate(unpacker: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    while piece:
        if text := unpacker.decompress(piece, TEXT_BYTES):
            yield text
        piece = unpacker.unconsumed_tail

"""Members of a zip archive: rules that read only the archive's directory, and two ways to read a member.

Source: PKWARE, APPNOTE.TXT (zip), for names sections 4.4.2, 4.6.9 and appendix D; RFC 1951 (deflate);
RFC 1952 (gzip).
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import BinaryIO, Final, NamedTuple
from zipfile import ZipInfo

from tecken.errors import InvalidInput, TooLarge
from tecken.symbols.decompression import SMALL_BYTES
from tecken.symbols.ids import MAX_NAME
from tecken.upload.archive import (
    CHUNK_BYTES,
    ENTRY_BYTES,
    ArchiveLimits,
    NotReusable,
    OpenArchive,
    check_count,
)

# A member's own header, without its name.
LOCAL_HEADER_BYTES: Final = 30
# Flag bits of traditional and strong encryption.
ENCRYPTED: Final = 0x41
# Systems that made an entry: FAT and NTFS have the attributes of Windows in the low bits.
WINDOWS_SYSTEMS: Final = (0, 10, 11)
# The attribute of Windows for links and mount points.
REPARSE_POINT: Final = 0x400
COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The word for the archive in texts that clients depend on.
NOUN: Final = "zipfile buffer"
NOT_A_ZIP: Final = "File is not a zip file"
BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    struct.error,
    ValueError,
    OSError,
)


class ZipMember(NamedTuple):
    """File of a zip archive, as `archive.Member` describes it."""

    archive: zipfile.ZipFile
    name: str
    info: ZipInfo

    @property
    def size(self) -> int:
        """Number of unpacked bytes that the directory declares."""
        return self.info.file_size

    @property
    def is_reusable(self) -> bool:
        """Return whether the member is compressed well enough to be stored as it is."""
        info = self.info
        return (
            info.compress_type == zipfile.ZIP_DEFLATED and info.compress_size * LEAST_RATIO <= info.file_size
        )

    def checksum(self) -> int:
        """Return the CRC-32 that the directory declares; a read of other bytes raises InvalidInput."""
        return self.info.CRC

    def read(self) -> Iterator[bytes]:
        """Yield the unpacked bytes, at most as many as the directory declares. Raises InvalidInput."""
        try:
            with self.archive.open(self.info) as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except BROKEN as error:
            raise InvalidInput(f"{self.name} cannot be unpacked: {error}") from None

    def read_gzip(self, feed: Callable[[bytes], object]) -> Iterator[bytes]:
        """Yield a member that is reusable as a gzip file, and pass the unpacked bytes to `feed`.

        Raises NotReusable, before the last piece at the latest.
        """
        try:
            yield from _verify(_wrap(self.archive, self.info), self.info.file_size, feed)
        except BROKEN as error:
            raise NotReusable(str(error)) from error


@contextmanager
def open_zip(file: BinaryIO, limits: ArchiveLimits) -> Iterator[OpenArchive]:
    """Open a zip file whose directory is no larger than the allowed members need.

    Raises:
        InvalidInput: The file is not a zip file, or a member is not allowed.
        TooLarge: The archive exceeds a limit.
    """
    try:
        archive = zipfile.ZipFile(_CappedReader(file, limits.members * ENTRY_BYTES))
    except BROKEN:
        raise InvalidInput(NOT_A_ZIP) from None
    with archive:
        yield OpenArchive(list_zip(archive, limits), noun=NOUN)


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


def list_zip(archive: zipfile.ZipFile, limits: ArchiveLimits) -> list[ZipMember]:
    """Return the files of a zip archive. Raises InvalidInput and TooLarge."""
    infos = archive.infolist()
    check_count(len(infos), limits)
    # Not is_dir(), which fails for an entry without a name.
    files = [info for info in infos if not info.filename.endswith(("/", "\\"))]
    members = [ZipMember(archive, member_name(info), info) for info in files]
    for member in members:
        _check_entry(member, limits)
    _check_overlaps(infos)
    return members


def _check_entry(member: ZipMember, limits: ArchiveLimits) -> None:
    name, info = member.name[:MAX_NAME], member.info
    if info.flag_bits & ENCRYPTED:
        raise InvalidInput(f"The archive has an encrypted file: {name}")
    if not _is_regular(info):
        raise InvalidInput(f"The archive has a link or special file, send the file itself: {name}")
    if info.compress_type not in COMPRESSIONS:
        raise InvalidInput(f"The archive has a file that is neither deflated nor stored: {name}")
    # A zip bomb is a small archive that unpacks to a huge file.
    if info.file_size > max(SMALL_BYTES, info.compress_size * limits.ratio):
        raise TooLarge(f"{name} unpacks to more than {limits.ratio} times its size")


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


# Names of members

UTF8_FLAG: Final = 0x800
# Systems that made an entry. Unix and macOS write the bytes of the file name, mostly UTF-8.
UNIX_SYSTEMS: Final = (3, 19)
UNICODE_PATH: Final = 0x7075


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
# were hashed then. A member with any fault is left to `ZipMember.read`, which alone decides whether it is
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

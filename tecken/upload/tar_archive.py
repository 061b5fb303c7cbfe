"""Members of tar archives, and of Debian packages, which have a tar archive inside.

The headers are parsed with `tarfile`, and read here: `tarfile` itself reads names and extended headers of any
length into memory, and calls itself for each of them. Nothing is extracted. An archive is indexed once, and
its members are then read at their places.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar, "Basic Tar Format";
deb(5) and ar(5).
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, cast

from tecken.errors import InvalidInput, TooLarge
from tecken.symbols.ids import MAX_NAME
from tecken.upload.archive import (
    CHUNK_BYTES,
    ENTRY_BYTES,
    ArchiveLimits,
    IgnoredFile,
    NotReusable,
    OpenArchive,
    check_count,
)

BLOCK: Final = tarfile.BLOCKSIZE
# Bytes of one name or extended header, which has a name, some times, and attributes at most.
MAX_EXTENDED_BYTES: Final = 64 << 10
# Headers for one member: of its long name, of its long target, extended ones of POSIX, and its own.
HEADERS_PER_MEMBER: Final = 4
REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
LINKS: Final = (tarfile.LNKTYPE, tarfile.SYMTYPE)
SPECIAL: Final = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
EXTENDED: Final = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
# Places in the header of an old sparse file, and in the blocks after it, of the mark that one more follows.
SPARSE_MARK, NEXT_SPARSE_MARK = 482, 504
PATH_KEY, SIZE_KEY, SPARSE_KEY = "path", "size", "GNU.sparse"
ENDS_EARLY: Final = "The archive ends early"
_MAX_DIGITS: Final = 20


class FileSlice(NamedTuple):
    """Part of a file on disk, which any number of threads may read; also a member, as `archive.Member`.

    `offset` and `size` are in bytes.
    """

    file: BinaryIO
    offset: int
    size: int
    name: str = ""

    @property
    def is_reusable(self) -> bool:
        """Return False: the content is not compressed."""
        return False

    def at(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes at a position in the part."""
        size = max(0, min(size, self.size - position))
        return os.pread(self.file.fileno(), size, self.offset + position)

    def open(self) -> BinaryIO:
        """Return a file object that reads the part at any place."""
        return cast(BinaryIO, _SliceReader(self))

    def part(self, offset: int, size: int, name: str = "") -> FileSlice:
        """Return a part of this part. Raise InvalidInput if it is not all there."""
        if offset + size > self.size:
            raise InvalidInput(f"{ENDS_EARLY}, in {name[:MAX_NAME]}")
        return FileSlice(self.file, self.offset + offset, size, name)

    def read(self) -> Iterator[bytes]:
        """Yield the content from its start."""
        for position in range(0, self.size, CHUNK_BYTES):
            yield self.at(position, CHUNK_BYTES)

    def read_gzip(self, feed: Callable[[bytes], object]) -> Iterator[bytes]:  # noqa: ARG002
        """Raise NotReusable: the content is not compressed."""
        raise NotReusable("it is not compressed")

    def checksum(self) -> int:
        """Return the CRC-32 of the content."""
        checksum = 0
        for chunk in self.read():
            checksum = zlib.crc32(chunk, checksum)
        return checksum


class _SliceReader:
    """File object of a part of a file, as far as `FileReader` needs one."""

    def __init__(self, content: FileSlice) -> None:
        self._content = content
        self._position = 0

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def read(self, size: int) -> bytes:
        chunk = self._content.at(self._position, size)
        self._position += len(chunk)
        return chunk


# Tar


def is_tar(head: bytes) -> bool:
    """Return whether a file with these first bytes is a tar archive: the checksum of a header is valid."""
    try:
        tarfile.TarInfo.frombuf(head[:BLOCK], "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True


def list_tar(file: FileSlice, limits: ArchiveLimits) -> OpenArchive:
    """Return the regular files of a tar archive, and its links and special files as ignored.

    Raises:
        InvalidInput: The archive is broken.
        TooLarge: The archive exceeds a limit.
    """
    members: list[FileSlice] = []
    ignored: list[IgnoredFile] = []
    for entry in _TarIndex(file, limits).entries():
        if entry.reason:
            ignored.append(IgnoredFile(entry.content.name, entry.reason))
        else:
            members.append(entry.content)
        check_count(len(members) + len(ignored), limits)
    return OpenArchive(members, ignored)


class _TarEntry(NamedTuple):
    """Entry of a tar archive; `reason` is why it is no regular file."""

    content: FileSlice
    reason: str


class _TarIndex:
    """Reader of the headers of one archive, at most as many as the allowed members need."""

    def __init__(self, file: FileSlice, limits: ArchiveLimits) -> None:
        self._file = file
        self._position = 0
        self._headers_left = limits.members * HEADERS_PER_MEMBER
        # The average bytes of a member's name and extended headers are bounded, as in a zip's directory.
        self._names_left = limits.members * ENTRY_BYTES
        self._limits = limits

    def entries(self) -> Iterator[_TarEntry]:
        """Yield every entry but the directories."""
        name, extended = "", dict[str, str]()
        while header := self._next_header():
            info = self._parse(header)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                name = self._read_extended(info).partition(b"\0")[0].decode(errors="replace")
            elif info.type in EXTENDED:
                extended |= parse_pax(self._read_extended(info))
            elif info.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):
                # The target of a link, and fields of all members. They are not used.
                self._read_extended(info)
            else:
                info.name = extended.get(PATH_KEY) or name or info.name
                info.size = _parse_size(extended.get(SIZE_KEY), info.size)
                reason = _find_reason(info.type, extended)
                if info.type == tarfile.GNUTYPE_SPARSE:
                    self._skip_sparse_map(header)
                content = self._read_content(info)
                if info.type != tarfile.DIRTYPE:
                    yield _TarEntry(content, reason)
                name, extended = "", {}

    def _next_header(self) -> bytes:
        """Return the next header; nothing at the end of the archive."""
        header = self._file.at(self._position, BLOCK)
        # Some archives end without the blocks of zeros, but none ends within a block.
        if not header.strip(b"\0"):
            return b""
        if len(header) < BLOCK:
            raise InvalidInput(ENDS_EARLY)
        self._headers_left -= 1
        if self._headers_left < 0:
            raise TooLarge(f"The archive has more than {self._limits.members} files")
        self._position += BLOCK
        return header

    def _parse(self, header: bytes) -> tarfile.TarInfo:
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        except tarfile.HeaderError as error:
            raise InvalidInput(
                f"The archive has a broken header at {self._position - BLOCK}: {error}"
            ) from None
        # A size can be written as a negative number.
        if info.size < 0:
            raise InvalidInput(f"The archive has a file of {info.size} bytes: {info.name[:MAX_NAME]}")
        return info

    def _read_extended(self, info: tarfile.TarInfo) -> bytes:
        if info.size > MAX_EXTENDED_BYTES:
            raise TooLarge(f"The archive has a header of {info.size} bytes, at most {MAX_EXTENDED_BYTES}")
        self._charge(info.size)
        content = self._read_content(info)
        return content.at(0, content.size)

    def _read_content(self, info: tarfile.TarInfo) -> FileSlice:
        """Return the content after a header, and move to the next header."""
        self._charge(len(info.name))
        # As `tarfile` does: other entries may have the size of the file that they name, and no content.
        size = 0 if info.type in (tarfile.DIRTYPE, *LINKS, *SPECIAL) else info.size
        content = self._file.part(self._position, size, info.name)
        self._position += -(-size // BLOCK) * BLOCK
        return content

    def _charge(self, size: int) -> None:
        self._names_left -= size
        if self._names_left < 0:
            limit = self._limits.members * ENTRY_BYTES
            raise TooLarge(f"The names and extended headers of the archive have more than {limit} bytes")

    def _skip_sparse_map(self, header: bytes) -> None:
        mark = SPARSE_MARK
        while header and header[mark]:
            header, mark = self._next_header(), NEXT_SPARSE_MARK


def parse_pax(content: bytes) -> dict[str, str]:
    """Return those fields of an extended header that are used here; of sparse files only that there are some.

    It consists of lines `<bytes of the line> <key>=<value>`. Raises InvalidInput.
    """
    fields: dict[str, str] = {}
    position = 0
    while position < len(content):
        digits = content[position : position + _MAX_DIGITS].partition(b" ")[0]
        end = position + (int(digits) if digits.isdigit() else 0)
        record = content[position + len(digits) + 1 : end]
        key, equals, value = record.partition(b"=")
        if not equals or end > len(content) or not record.endswith(b"\n"):
            raise InvalidInput("The archive has a broken extended header")
        name = key.decode(errors="replace")
        if name in (PATH_KEY, SIZE_KEY):
            fields[name] = value[:-1].decode(errors="replace")
        elif name.startswith(f"{SPARSE_KEY}."):
            fields[SPARSE_KEY] = ""
        position = end
    return fields


def _parse_size(text: str | None, size: int) -> int:
    if text is None:
        return size
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise InvalidInput("The archive has a broken extended header")
    return int(text)


def _find_reason(kind: bytes, extended: dict[str, str]) -> str:
    """Return why an entry is no regular file; nothing for one that is."""
    if kind == tarfile.GNUTYPE_SPARSE or SPARSE_KEY in extended:
        return "it is a sparse file: make the archive without --sparse"
    if kind in LINKS:
        return "it is a link: the file that it names is stored if it is in the archive"
    if kind in SPECIAL:
        return "it is a special file"
    return "" if kind in (*REGULAR, tarfile.DIRTYPE) else f"it is an entry of the unknown type {kind!r}"


# Debian packages

AR_MAGIC: Final = b"!<arch>\n"
AR_HEADER_BYTES: Final = 60
# A package has three parts, and rarely a signature.
MAX_PARTS: Final = 16
DATA_NAME: Final = b"data.tar"


def find_package_data(file: FileSlice) -> FileSlice:
    """Return the packed tar archive with the files of a Debian package. Raise InvalidInput."""
    position = len(AR_MAGIC)
    for _ in range(MAX_PARTS):
        header = file.at(position, AR_HEADER_BYTES)
        name, size = header[:16], header[48:58].strip()
        if len(header) < AR_HEADER_BYTES or not size.isdigit():
            break
        position += AR_HEADER_BYTES
        if name.startswith(DATA_NAME):
            return file.part(position, int(size), DATA_NAME.decode())
        position += int(size) + int(size) % 2
    raise InvalidInput("File is not a Debian package: it has no data.tar")

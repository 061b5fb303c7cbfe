"""Which files an archive may have, and what they are called. Nothing is unpacked to find out.

Source: PKWARE, APPNOTE.TXT (zip).
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, BinaryIO, Final, NamedTuple

from tecken.errors import BadInput, TooMuch
from tecken.sources.port import FileKey
from tecken.symbols.ids import MAX_NAME

CHUNK_BYTES: Final = 256 << 10
ENTRY_BYTES: Final = 1024  # of the archive's directory, on average; the names we allow are shorter
LOCAL_HEADER_BYTES: Final = 30  # a member's own header, without its name
ENCRYPTED: Final = 0x41  # flag bits: traditional and strong encryption
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

_ID = re.compile(r"[0-9A-Fa-f]{1,128}")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]+")


class Limits(NamedTuple):
    """`unpacked` and `member` in bytes; `ratio` is bytes unpacked for one in the archive."""

    unpacked: int
    member: int
    members: int
    ratio: int


class Member(NamedTuple):
    key: FileKey
    info: zipfile.ZipInfo


class Listing(NamedTuple):
    members: list[Member]
    ignored: list[str]


def file_key(name: str) -> FileKey:
    """`xul.pdb/44e4.../xul.sym` -> its key, the id in upper case. Raises BadInput."""
    parts = name.split("/")
    if len(parts) != 3 or not all(map(_usable, parts)) or not _ID.fullmatch(parts[1]):
        raise BadInput(
            f"Unrecognized file pattern. Should only be <module>/<hex>/<file>, not {name[:MAX_NAME]}"
        )
    return FileKey(parts[0], parts[1].upper(), parts[2])


def _usable(part: str) -> bool:
    return part not in (".", "..") and len(part) <= MAX_NAME and bool(_NAME.fullmatch(part))


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
    files = [info for info in infos if not info.filename.endswith("/")]  # is_dir() fails without a name
    if not files:
        raise BadInput("The archive has no files")
    for info in files:
        _refuse(info, limits, snippets)
    _refuse_sum(files, limits)
    _refuse_overlap(infos)
    wanted = [info for info in files if not _is_ignored(info)]
    ignored = [info.filename for info in files if _is_ignored(info)]
    return Listing(_once(Member(_key(info), info) for info in wanted), ignored)


def content(archive: zipfile.ZipFile, member: Member) -> Iterator[bytes]:
    """A member's bytes, no more than its entry says; any thread may read. Raises BadInput."""
    try:
        with archive.open(member.info) as file:
            yield from _chunks(file)
    except BROKEN as error:
        raise BadInput(f"{member.info.filename} cannot be unpacked: {error}") from None


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _refuse(info: zipfile.ZipInfo, limits: Limits, snippets: Collection[str]) -> None:
    name, size, packed = info.filename[:MAX_NAME], info.file_size, info.compress_size
    for snippet in snippets:
        if snippet in info.filename:
            raise BadInput(f"Content of archive file contains the snippet '{snippet}' which is not allowed")
    if info.flag_bits & ENCRYPTED:
        raise BadInput(f"The archive has an encrypted file: {name}")
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


def _is_ignored(info: zipfile.ZipInfo) -> bool:
    name = info.filename
    return name.rpartition("/")[2] == ".DS_Store" or ("/" not in name and name.endswith("-symbols.txt"))


def _key(info: zipfile.ZipInfo) -> FileKey:
    try:
        return file_key(info.orig_filename)
    except BadInput:
        raise BadInput(PATTERN.format(info.orig_filename[:MAX_NAME])) from None


def _once(members: Iterable[Member]) -> list[Member]:
    """The same file twice is one; two files under one name are a mistake."""
    kept: dict[FileKey, Member] = {}
    for member in members:
        first, second = kept.setdefault(member.key, member).info, member.info
        both = f"The zipfile buffer contains two files both called {second.filename} and they have "
        if first.file_size != second.file_size:
            raise BadInput(f"{both}difference sizes ({first.file_size} != {second.file_size})")
        if first.CRC != second.CRC:
            raise BadInput(f"{both}different content")
    return list(kept.values())

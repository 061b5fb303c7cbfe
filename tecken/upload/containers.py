"""Recognition of what a client sends, by its content: a zip, a tar, a package, or a single file.

A source bundle is a single file, although it is a zip.

A tar archive, a package and a single file may be compressed. They are unpacked into a file without a
name, of at most as many bytes as an archive may unpack to. Nothing inside them is unpacked again.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import BinaryIO, Final, NamedTuple, cast

from django.conf import settings

from tecken.errors import InvalidInput, Malformed, TooLarge
from tecken.symbols.decompression import SMALL_BYTES, decompress, is_compressed
from tecken.symbols.formats import FileReader, identify
from tecken.symbols.formats.cabinet import packed_name, read_cabinet
from tecken.symbols.formats.source_bundle import MANIFEST
from tecken.symbols.layouts import FileType
from tecken.upload.archive import ArchiveLimits, OpenArchive
from tecken.upload.rpm_package import RPM_MAGIC, find_payload, list_cpio
from tecken.upload.tar_archive import (
    AR_MAGIC,
    BLOCK,
    FileSlice,
    find_package_data,
    is_tar,
    list_tar,
)
from tecken.upload.zip_archive import NOT_A_ZIP, open_zip

# First bytes of a zip file: of its first file, or of its end if it has none.
ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
ZIP_SUFFIX: Final = ".zip"
# Archives of other kinds, which are refused by their name before they are read.
FOREIGN_SUFFIXES: Final = (".7z", ".cab", ".dmg", ".iso", ".msi", ".rar")
UNKNOWN_CONTENT: Final = (
    "File is neither an archive (zip, tar, .tar.gz, .tar.xz, .tar.zst, .deb, .rpm) "
    "nor a symbol file of a known format"
)
# Name of a file that has neither a name nor an id.
UNNAMED: Final = "unnamed"
# Bytes between two checks of the free disk space.
CHECKED_BYTES: Final = 64 << 20

_PACKED_SUFFIX: Final = re.compile(r"\.(gz|zst|zstd|xz)$", re.IGNORECASE)


class Unpacking(NamedTuple):
    """Bounds of an archive, and a function that raises Unavailable when the disk has no room left."""

    limits: ArchiveLimits
    check_room: Callable[[], object]


def check_name(name: str) -> None:
    """Raise InvalidInput for a file that its name shows to be an archive of a kind that is not read."""
    extension = PurePosixPath(name).suffix
    if extension.lower() in FOREIGN_SUFFIXES:
        raise InvalidInput(f'Unrecognized archive file extension "{extension}"')


@contextmanager
def open_archive(file: BinaryIO, name: str, unpacking: Unpacking) -> Iterator[OpenArchive]:
    """Open what a client has sent; a single file is an archive of one member.

    Args:
        file: The file. An archive other than a zip must be on disk.
        name: Its name, which is also that of a single file.
        unpacking: The bounds.

    Raises:
        InvalidInput: The file is of no known kind, or broken.
        TooLarge: The archive exceeds a limit.
    """
    head = _read_head(file)
    with ExitStack() as stack:
        if head.startswith(ZIP_MAGIC):
            archive = stack.enter_context(open_zip(file, unpacking.limits))
            yield _open_source_bundle(file, name, archive) or archive
        elif opened := _open_tar_or_file(stack, file, head, name, unpacking):
            yield opened
        # A zip file may have any bytes in front of it.
        elif zipfile.is_zipfile(file):
            yield stack.enter_context(open_zip(file, unpacking.limits))
        else:
            raise InvalidInput(_describe_unknown(name))


def _read_head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(BLOCK)


def _open_source_bundle(file: BinaryIO, name: str, archive: OpenArchive) -> OpenArchive | None:
    """Return a zip that is a source bundle as an archive of one member; None for any other zip."""
    if all(member.name != MANIFEST for member in archive.members):
        return None
    content = FileSlice(file, 0, file.seek(0, os.SEEK_END), name)
    return _open_single(content)


def _open_tar_or_file(
    stack: ExitStack, file: BinaryIO, head: bytes, name: str, unpacking: Unpacking
) -> OpenArchive | None:
    """Return the members of a tar archive, a package or a single file; None for any other file."""
    if not head:
        return None
    file.flush()
    content = FileSlice(file, 0, file.seek(0, os.SEEK_END), name)
    if head.startswith(AR_MAGIC):
        content = find_package_data(content)
    is_rpm = head.startswith(RPM_MAGIC)
    if is_rpm:
        content = find_payload(content)
    if is_compressed(content.at(0, BLOCK)):
        content = _unpack(stack, content, unpacking)
    if is_rpm:
        return list_cpio(content, unpacking.limits)
    if is_tar(content.at(0, BLOCK)):
        return list_tar(content, unpacking.limits)
    if head.startswith(AR_MAGIC):
        raise InvalidInput("File is not a Debian package: its data.tar is no tar archive")
    return _open_single(content)


def _unpack(stack: ExitStack, content: FileSlice, unpacking: Unpacking) -> FileSlice:
    """Unpack a compressed file into one without a name. Raises InvalidInput, TooLarge and Unavailable."""
    limits = unpacking.limits
    limit = min(limits.unpacked, max(SMALL_BYTES, content.size * limits.ratio))
    spool = cast(BinaryIO, stack.enter_context(TemporaryFile(dir=settings.SPOOL_DIR)))  # noqa: SIM115 - the stack closes it
    unchecked = 0
    try:
        for chunk in decompress(content.read(), limit):
            spool.write(chunk)
            unchecked += len(chunk)
            if unchecked > CHECKED_BYTES:
                unpacking.check_room()
                unchecked = 0
    except TooLarge:
        if limit == limits.unpacked:
            raise TooLarge(f"The archive unpacks to more than {limit} bytes") from None
        raise TooLarge(f"{content.name} unpacks to more than {limits.ratio} times its size") from None
    except Malformed as error:
        raise InvalidInput(f"{content.name} cannot be unpacked: {error}") from None
    spool.flush()
    return FileSlice(spool, 0, spool.tell(), _PACKED_SUFFIX.sub("", content.name))


def _open_single(content: FileSlice) -> OpenArchive | None:
    """Return a symbol file or a CAB file as an archive of one member; None for a file of no known format.

    A file without a name has that of its id. Raises InvalidInput for a file that is broken.
    """
    reader = FileReader(content.open(), content.size)
    try:
        if cabinet := read_cabinet(reader):
            return OpenArchive([content._replace(name=content.name or packed_name(cabinet))])
        objects = identify(reader)
    except Malformed as error:
        raise InvalidInput(f"{content.name} cannot be identified: {error}") from None
    if not objects:
        return None
    name = content.name or objects[0].code_id or objects[0].debug_id or UNNAMED
    return OpenArchive([content._replace(name=name)])


def _describe_unknown(name: str) -> str:
    extension = PurePosixPath(name).suffix
    if extension.lower() == ZIP_SUFFIX:
        return NOT_A_ZIP
    is_symbols_name = not extension or FileType.of_name(name) is not FileType.OTHER
    return UNKNOWN_CONTENT if is_symbols_name else f'Unrecognized archive file extension "{extension}"'

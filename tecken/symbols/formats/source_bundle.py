"""Source bundles: the source files of one object, in a zip archive.

The archive is what `sentry-cli debug-files bundle-sources` and `tecken-upload --sources` write: `SYSB` and a
version of four bytes, then a zip with the files and this `manifest.json`. Without the first eight bytes it is
a zip that any program can make.

    {"files": {"files/src/a.c": {"type": "source", "path": "/src/a.c"}},
     "debug_id": "06f93af5-832b-3bbc-6dfd-27a46912605f", "object_name": "libx.so", "arch": "x86_64"}

`path` is that in the debug information. Paths are keys in a table and never names of files on our disk.

Sources: Symbolicator, docs/advanced/source-bundles.md; PKWARE, APPNOTE.TXT (zip), sections 4.3.7 and 4.4.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO, Final, NamedTuple, cast

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import FileType
from tecken.symbols.source_paths import lookup_form

MAGIC: Final = b"SYSB"
HEADER: Final = MAGIC + (2).to_bytes(4, "little")
ZIP_MAGIC: Final = b"PK\x03\x04"
MANIFEST: Final = "manifest.json"
SOURCE: Final = "source"
MAX_FILES: Final = 32_768
MAX_PATH_BYTES: Final = 1024
MAX_FILE_BYTES: Final = 16 << 20
MAX_TOTAL_BYTES: Final = 4 << 30
MAX_MANIFEST_BYTES: Final = 8 << 20
# A member's own header, without its name.
LOCAL_HEADER_BYTES: Final = 30
LARGEST_LOCAL_HEADER: Final = LOCAL_HEADER_BYTES + 2 * 0xFFFF

_ENCRYPTED: Final = 0x41
_MAX_SHOWN: Final = 255
_MAX_NAME: Final = 64
_ID: Final = re.compile(r"[0-9A-Fa-f]{32,40}")
# A lone surrogate, which JSON can have, is no text that a database can store.
_PATH: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError),
    # Those of JSON that is no JSON, is nested too deeply, or is no UTF-8, are among these.
    *(ValueError, RecursionError),
)


class SourceEntry(NamedTuple):
    """Source file of a bundle: its path, where its member lies in the archive, and its unpacked bytes.

    The member has its own header, its content and maybe other bytes between `start` and `end`.
    """

    path: str
    start: int
    end: int
    size: int


class SourceBundle:
    """Format of source bundles."""

    name: str = "source bundle"
    file_types: tuple[FileType, ...] = (FileType.SOURCES,)
    identity: str = MANIFEST

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the manifest; nothing for a zip of another kind."""
        if file.head.startswith(MAGIC):
            return (_read_bundle(file)[0],)
        if file.head.startswith(ZIP_MAGIC):
            try:
                return (_read_bundle(file)[0],)
            except Malformed:
                return ()
        return ()

    def usability_check(self) -> None:
        """Return None: a bundle has no symbols."""


def read_entries(file: FileReader) -> list[SourceEntry]:
    """Return the source files of a bundle, one for each path. Raises Malformed."""
    return _read_bundle(file)[1]


def _read_bundle(file: FileReader) -> tuple[ObjectInfo, list[SourceEntry]]:
    try:
        with zipfile.ZipFile(cast(BinaryIO, _ReaderFile(file))) as archive:
            manifest = _read_manifest(archive)
            info, entries = _object(manifest), list(_entries(archive, manifest["files"]))
    except _BROKEN as error:
        raise Malformed(f"the source bundle cannot be read: {error}") from None
    if not entries:
        raise Malformed(f"{MANIFEST} names no source file with a path")
    return info, entries


def _read_manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    if MANIFEST not in archive.NameToInfo:
        raise Malformed(f"the source bundle has no {MANIFEST}")
    if archive.NameToInfo[MANIFEST].file_size > MAX_MANIFEST_BYTES:
        raise Malformed(f"{MANIFEST} has more than {MAX_MANIFEST_BYTES} bytes")
    manifest = json.loads(archive.read(MANIFEST))
    if type(manifest) is not dict or type(manifest.get("files")) is not dict:
        raise Malformed(f"{MANIFEST} has no files")
    return manifest


def _object(manifest: dict[str, Any]) -> ObjectInfo:
    debug_id = _attribute(manifest, "debug_id").replace("-", "")
    if not _ID.fullmatch(debug_id):
        raise Malformed(f"{MANIFEST} has no debug_id")
    name = re.split(r"[/\\]", _attribute(manifest, "object_name"))[-1]
    code_id = _attribute(manifest, "code_id").replace("-", "")
    arch = _attribute(manifest, "arch")[:_MAX_NAME]
    return ObjectInfo(Kind.SOURCES, SourceBundle.name, arch, name, debug_id, code_id=code_id)


def _attribute(manifest: dict[str, Any], name: str) -> str:
    text = manifest.get(name)
    return text if type(text) is str and _PATH.fullmatch(text) else ""


def _entries(archive: zipfile.ZipFile, files: dict[str, Any]) -> Iterator[SourceEntry]:
    """Yield the source files that the manifest names. Raises Malformed for those that no bundle can have."""
    ends = _member_ends(archive)
    if len(files) > MAX_FILES:
        raise Malformed(f"{MANIFEST} has {len(files)} files, at most {MAX_FILES}")
    total, paths = 0, set()
    for name, described in files.items():
        path = _source_path(described)
        if not path or path in paths:
            continue
        info = archive.NameToInfo.get(name)
        if info is None:
            raise Malformed(f"the source bundle does not have {name[:_MAX_SHOWN]!r}, which {MANIFEST} names")
        _check_member(info)
        total += info.file_size
        if total > MAX_TOTAL_BYTES:
            raise Malformed(f"the source files have more than {MAX_TOTAL_BYTES} bytes")
        paths.add(path)
        yield SourceEntry(path, info.header_offset, ends[info.header_offset], info.file_size)


def _source_path(described: Any) -> str:
    """Return the path of a source file; "" for a file of another type, such as a source map."""
    if type(described) is not dict or described.get("type", SOURCE) != SOURCE:
        return ""
    path = described.get("path")
    if type(path) is not str or not _PATH.fullmatch(path):
        return ""
    if len(path.encode()) > MAX_PATH_BYTES:
        raise Malformed(f"a path has more than {MAX_PATH_BYTES} bytes: {path[:_MAX_SHOWN]!r}")
    return lookup_form(path)


def _check_member(info: zipfile.ZipInfo) -> None:
    name = repr(info.filename[:_MAX_SHOWN])
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Malformed(f"{name} is encrypted, or neither deflated nor stored")
    if info.file_size > MAX_FILE_BYTES:
        raise Malformed(f"{name} has {info.file_size} bytes, at most {MAX_FILE_BYTES}")


def _member_ends(archive: zipfile.ZipFile) -> dict[int, int]:
    """Return where each member ends at the latest, by its start. Raises Malformed where two overlap."""
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    starts = [*(info.header_offset for info in infos), archive.start_dir]
    for info, (start, end) in zip(infos, pairwise(starts), strict=True):
        if start < 0 or start + LOCAL_HEADER_BYTES + info.compress_size > end:
            raise Malformed("the files of the source bundle overlap")
    sizes = (LARGEST_LOCAL_HEADER + info.compress_size for info in infos)
    return {start: min(end, start + size) for size, (start, end) in zip(sizes, pairwise(starts), strict=True)}


class _ReaderFile:
    """File object for `zipfile`, whose reads `FileReader` bounds."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        self._position = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        position = offset + (0, self._position, self._reader.size)[whence]
        if position < 0:
            raise OSError("a position before the start of the file")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._reader.size - self._position)
        content = self._reader.read(self._position, left if size < 0 else min(size, left)) if left else b""
        self._position += len(content)
        return content

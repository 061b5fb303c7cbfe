"""Names of an archive's members: their decoding, the keys that they stand for, and the names to leave out.

Source: PKWARE, APPNOTE.TXT, sections 4.4.2, 4.6.9 and appendix D; Microsoft, "Using SymStore".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final
from zipfile import ZipInfo

from tecken.errors import InvalidInput
from tecken.symbols.ids import MAX_NAME, normal_debug_id
from tecken.symbols.layouts import FileKey

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

"""Layouts of places to import from: the path of an object leads to its key, or to a name for its content.

| layout | path | key |
|---|---|---|
| tecken | `v1/<debug file>/<id>/<file>`, `try/v1/...` | from the path |
| PLAIN | `<debug file>/<id>/<file>` | from the path |
| symsrv | the same, in tiers `xu/xul.pdb/...`, and keys of SSQP | from the path; of SSQP from the content |
| debuginfod | `buildid/<build id>/debuginfo`, `executable` | from the content |
| buildid | `.build-id/ab/cdef.debug` | from the content |
| unified | `ab/cdef/debuginfo`, `executable` and others | from the content |
| content | any | from the content |

A symbol file may end in `.gz` or `.zst`, which is not part of its key.

Sources: those of `tecken.storage.upstreams.layouts`; getsentry/symbolicator, `symsorter`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from tecken.errors import InvalidInput
from tecken.symbols.formats.keys import BUILD_ID_DIRECTORY
from tecken.symbols.ids import TRY
from tecken.symbols.layouts import PLAIN, ROOT, UNIFIED_SYMBOLS, FileKey, FileType, is_reserved
from tecken.upload.archive import KEY_PARTS, file_key, is_ignored, relative_parts

PACKED_SUFFIXES: Final = (".gz", ".zst", ".xz")
TIER: Final = 2
POINTER: Final = "file.ptr"
ELSEWHERE: Final = "its path leads elsewhere"
MARKER: Final = "it is no symbol file, but a mark of its store"
POINTS: Final = "it is a pointer: import the directory of the store with --layout symstore, which follows it"
_HEX: Final = re.compile(r"[0-9A-Fa-f]{2,128}")
_SSQP: Final = re.compile(r"(elf-buildid|mach-uuid)(-sym)?-([0-9a-f]{16,128})", re.IGNORECASE)


class ImportedPath(NamedTuple):
    """Reading of an object's path.

    Without a key, the content decides, for which `parts` are a path that has the name of the module.
    """

    key: FileKey | None
    parts: tuple[str, ...] = ()
    try_symbols: bool = False


Parse = Callable[[Sequence[str]], ImportedPath | str]


def parse_path(layout: str, path: str) -> ImportedPath | str:
    """Return the reading of a path, or the reason why the object is not imported."""
    parts = relative_parts(path)
    if parts is None or any(not part for part in parts):
        return ELSEWHERE
    if parts[-1].lower() == POINTER:
        return POINTS
    if is_ignored(parts):
        return MARKER
    return LAYOUTS[layout](parts)


def _parse_tecken(parts: Sequence[str]) -> ImportedPath | str:
    is_try = parts[0] == TRY
    below = parts[1:] if is_try else parts
    if below[0] != ROOT:
        return f"it is not below {ROOT}/ or {TRY}/{ROOT}/"
    found = _parse_plain(below[1:])
    return found if isinstance(found, str) else found._replace(try_symbols=is_try)


def _parse_plain(parts: Sequence[str]) -> ImportedPath | str:
    if len(parts) != KEY_PARTS:
        return "its path is not <debug file>/<id>/<file name>"
    try:
        key = file_key("/".join((*parts[:2], _without_packing(parts[2]))))
    except InvalidInput:
        return "its path has no usable name or id"
    return "no file can have its name" if is_reserved(key.file_name) else ImportedPath(key)


def _without_packing(name: str) -> str:
    """Return the name of a symbol file without the suffix of its compression."""
    for suffix in PACKED_SUFFIXES:
        plain = name.removesuffix(suffix)
        if plain != name and FileType.of_name(plain) is FileType.SYMBOL_FILE:
            return plain
    return name


def _parse_symsrv(parts: Sequence[str]) -> ImportedPath | str:
    if len(parts) == KEY_PARTS + 1 and parts[0].lower() == parts[1][:TIER].lower():
        parts = parts[1:]
    if len(parts) == KEY_PARTS and (match := _SSQP.fullmatch(parts[1])):
        # The files of debug information all have one name, `_.debug`.
        return ImportedPath(None, _named_by_id(match[3], ".debug") if match[2] else (parts[2],))
    return _parse_plain(parts)


def _named_by_id(some_id: str, suffix: str = "") -> tuple[str, ...]:
    """Return a path in gdb's directory of build ids, from which a file without a name gets one."""
    return BUILD_ID_DIRECTORY, some_id[:2], some_id[2:] + suffix


def _parse_debuginfod(parts: Sequence[str]) -> ImportedPath | str:
    # A client's cache has the same directories without the first one.
    *_, some_id, name = ("", *parts)
    if len(parts) > KEY_PARTS or not _HEX.fullmatch(some_id) or name not in ("debuginfo", "executable"):
        return "its path is not buildid/<build id>/debuginfo or executable"
    return ImportedPath(None, _named_by_id(some_id, ".debug" if name == "debuginfo" else ""))


def _parse_build_id(parts: Sequence[str]) -> ImportedPath | str:
    below = parts[1:] if parts[0] == BUILD_ID_DIRECTORY else parts
    if len(below) != TIER or not _HEX.fullmatch(below[0] + below[1].partition(".")[0]):
        return f"its path is not {BUILD_ID_DIRECTORY}/ab/cdef or ab/cdef.debug"
    return ImportedPath(None, (BUILD_ID_DIRECTORY, *below))


def _parse_unified(parts: Sequence[str]) -> ImportedPath | str:
    some_id = "".join(parts[:-1])
    if len(parts) != KEY_PARTS or not _HEX.fullmatch(some_id):
        return "its path is not ab/cdef/debuginfo or the like"
    if parts[-1] == "meta":
        return MARKER
    if parts[-1] not in ("debuginfo", "executable", "sourcebundle", UNIFIED_SYMBOLS):
        return "it is of a kind that this server does not store"
    return ImportedPath(None, _named_by_id(some_id, ".debug" if parts[-1] == "debuginfo" else ""))


def _parse_any(parts: Sequence[str]) -> ImportedPath | str:
    return ImportedPath(None, (*parts[:-1], _without_packing(parts[-1])))


LAYOUTS: Final[Mapping[str, Parse]] = {
    "tecken": _parse_tecken,
    PLAIN: _parse_plain,
    "symsrv": _parse_symsrv,
    "debuginfod": _parse_debuginfod,
    "buildid": _parse_build_id,
    "unified": _parse_unified,
    "content": _parse_any,
}
"""Functions that read paths, by the names of the layouts."""

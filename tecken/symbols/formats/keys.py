"""Keys of native files, from the object in the content and the path: uploads and `tecken-upload` share them.

| file | key |
|---|---|
| symbol file | that of its MODULE record |
| executable or library | `<name>/<DEBUG ID>/<name>` |
| PE file | `<PDB's name>/<DEBUG ID>/<name>` for symbolication, and `<name>/<CODE ID>/<name>` for debuggers |
| PDB | `<name>/<DEBUG ID>/<name>` |
| Portable PDB | the same, and `<name>/<GUID>FFFFFFFF/<name>` for debuggers |
| debug file of an ELF file | `<name without .debug>/<DEBUG ID>/<name>` |
| `.build-id/fb/66b3.debug` | `fb66b3/<DEBUG ID>/fb66b3.debug` |
| `X.dSYM/Contents/Resources/DWARF/X` | `X/<DEBUG ID>/X.dSYM` |
| source bundle | `<name>/<DEBUG ID>/<name>.src.zip` |


Sources: GNU gdb, "Debugging Information in Separate Files"; Apple, "Building your app to include debugging
information" (dSYM bundles); dotnet/symstore, docs/specs/SSQP_Key_Conventions.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tecken.symbols.formats.base import Kind, ObjectInfo
from tecken.symbols.ids import GUID_DIGITS, ObjectId, file_name, is_zero_debug_id, normal_debug_id
from tecken.symbols.layouts import FileKey, FileType

ELF, PE, PORTABLE_PDB = "elf", "pe", "portable pdb"
# In place of the age, which a Portable PDB does not have.
PORTABLE_PDB_AGE: Final = "FFFFFFFF"
DEBUG_SUFFIX: Final = re.compile(r"\.(debug|dbg)$", re.IGNORECASE)
BUILD_ID_DIRECTORY: Final = ".build-id"
# Debian's older packages have the debug file of /usr/bin/x as /usr/lib/debug/usr/bin/x.
DEBUG_DIRECTORY: Final = ("lib", "debug")
# A dSYM bundle has one file with symbols in this directory; the others describe it.
BUNDLE_SUFFIX: Final = ".dsym"
BUNDLE_SYMBOLS: Final = ("contents", "resources", "dwarf")


def keys_of_native(info: ObjectInfo, parts: Sequence[str]) -> Iterator[FileKey]:
    """Yield the keys of a native file with this object; none for a file without an id.

    `parts` are those of the file's path. Raises BadModule for a name or an id that no key can have.
    """
    name, stored_name = _names(info, parts)
    if info.debug_id and not is_zero_debug_id(normal_debug_id(info.debug_id)):
        module = ObjectId.parse(info.debug_file or name, info.debug_id)
        yield FileKey(module.debug_file, module.debug_id, file_name(stored_name))
    other_id = debugger_id(info)
    if other_id:
        yield FileKey(file_name(name), other_id, file_name(stored_name))


def debugger_id(info: ObjectInfo) -> str:
    """Return the id with which debuggers request a file of Windows or .NET; "" if it is the debug id."""
    if info.format == PE and info.code_id:
        return normal_debug_id(info.code_id)
    if info.format == PORTABLE_PDB and info.debug_id:
        return info.debug_id[:GUID_DIGITS].upper() + PORTABLE_PDB_AGE
    return ""


def _names(info: ObjectInfo, parts: Sequence[str]) -> tuple[str, str]:
    """Return the name of the debug file, and the name of the stored file."""
    name = parts[-1]
    if info.kind is Kind.SOURCES:
        name = info.debug_file or name.removesuffix(FileType.SOURCES.suffix)
        return name, FileType.SOURCES.file_name(name)
    if is_bundle_symbols(parts):
        return name, FileType.DSYM.file_name(name)
    if tuple(parts[-3:-2]) == (BUILD_ID_DIRECTORY,):
        name = parts[-2] + name
    elif info.format == ELF and _is_below_debug_directory(parts) and not DEBUG_SUFFIX.search(name):
        name = FileType.DEBUG_ONLY.file_name(name)
    return DEBUG_SUFFIX.sub("", name) or name, name


def _is_below_debug_directory(parts: Sequence[str]) -> bool:
    return DEBUG_DIRECTORY in pairwise(parts)


def is_bundle_symbols(parts: Sequence[str]) -> bool:
    """Return whether a path is that of the symbols in a dSYM bundle, `X.dSYM/Contents/Resources/DWARF/X`."""
    return tuple(part.lower() for part in parts[-4:-1]) == BUNDLE_SYMBOLS


def describes_bundle(directories: Sequence[str]) -> bool:
    """Return whether files in a directory of a dSYM bundle only describe it; the parts are in lower case."""
    for place, directory in enumerate(directories):
        inside = tuple(directories[place + 1 :])
        if directory.endswith(BUNDLE_SUFFIX) and inside[:1] == BUNDLE_SYMBOLS[:1]:
            return inside != BUNDLE_SYMBOLS
    return False

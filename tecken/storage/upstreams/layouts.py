"""Layouts of the native files of upstreams: which files of a module there are, and their paths.

A layout is a function from an identity of a module to its files, the most useful first. It is the same over
HTTP, in a bucket and in a directory. A new layout is a function and an entry in LAYOUTS.

Sources: Microsoft, "SymStore" and "SymSrv" in "Debugging Tools for Windows"; github.com/dotnet/symstore,
docs/specs/SSQP_Key_Conventions.md; elfutils, debuginfod(8); GDB, "Debugging Information in Separate Files";
Sentry, "Symbol Server Compatibility" of Symbolicator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tecken.errors import IncompleteId
from tecken.storage.port import GUID_AND_AGE
from tecken.symbols.ids import (
    GUID_DIGITS,
    LONGEST_PE_CODE_ID,
    WHOLE_BUILD_ID,
    ObjectId,
    is_windows_name,
    short_build_id_of,
)
from tecken.symbols.layouts import UNIFIED_SYMBOLS, FileType
from tecken.symbols.platforms import Platform, possible_platforms

UNKNOWN: Final = "not asked, the whole build id is not known: send it as code_id, or paste a report with it"


PLATFORM_OF: Final[Mapping[FileType, Platform]] = {
    FileType.PDB: Platform.WINDOWS,
    FileType.PE: Platform.WINDOWS,
    FileType.DEBUG_ONLY: Platform.LINUX,
    FileType.ELF: Platform.LINUX,
    FileType.DSYM: Platform.MACOS,
    FileType.MACHO: Platform.MACOS,
}
"""Platforms of the types of native files."""
ELF_TYPES: Final = frozenset({FileType.DEBUG_ONLY, FileType.ELF})


class Identity(NamedTuple):
    """A module of one platform, by the id that its files have there.

    `some_id` is a debug id or code id in upper case (Windows), a build id in lower case (Linux), or a UUID in
    lower case without dashes (macOS). `name` is empty where only the id is known.
    """

    platform: Platform
    name: str
    some_id: str


class LayoutFile(NamedTuple):
    """File that an upstream with a layout may have."""

    file_type: FileType
    path: str


class Layout(NamedTuple):
    """Layout of an upstream: the scheme of its URLs before the `+`, its content in words, its files.

    `types` are those of the files. Stores of symstore have names in any case, may have tiers, and PDB and PE
    files may be in CAB files.
    """

    scheme: str
    content: str
    types: frozenset[FileType]
    files: Callable[[Identity], Iterator[LayoutFile]]
    is_symstore: bool = False


def _symsrv_files(identity: Identity) -> Iterator[LayoutFile]:
    name, some_id = identity.name, identity.some_id
    if identity.platform is Platform.LINUX:
        # SSQP has names in lower case, and build ids of 20 bytes.
        build_id, name = some_id.ljust(WHOLE_BUILD_ID, "0"), name.lower()
        yield LayoutFile(FileType.DEBUG_ONLY, f"_.debug/elf-buildid-sym-{build_id}/_.debug")
        if name:
            yield LayoutFile(FileType.ELF, f"{name}/elf-buildid-{build_id}/{name}")
    elif identity.platform is Platform.MACOS:
        name = name.lower()
        yield LayoutFile(FileType.DSYM, f"_.dwarf/mach-uuid-sym-{some_id}/_.dwarf")
        if name:
            yield LayoutFile(FileType.MACHO, f"{name}/mach-uuid-{some_id}/{name}")
    elif FileType.of_name(name) is FileType.PDB:
        if len(some_id) >= GUID_AND_AGE:
            yield LayoutFile(FileType.PDB, f"{name}/{some_id}/{name}")
    elif is_windows_name(name) and len(some_id) <= LONGEST_PE_CODE_ID:
        yield LayoutFile(FileType.PE, f"{name}/{some_id[:8]}{some_id[8:].lower()}/{name}")


def _debuginfod_files(identity: Identity) -> Iterator[LayoutFile]:
    if identity.platform is Platform.LINUX:
        yield LayoutFile(FileType.DEBUG_ONLY, f"buildid/{identity.some_id}/debuginfo")
        yield LayoutFile(FileType.ELF, f"buildid/{identity.some_id}/executable")


def _build_id_files(identity: Identity) -> Iterator[LayoutFile]:
    if identity.platform is Platform.LINUX:
        path = f".build-id/{identity.some_id[:2]}/{identity.some_id[2:]}"
        yield LayoutFile(FileType.DEBUG_ONLY, f"{path}.debug")
        yield LayoutFile(FileType.ELF, path)


_UNIFIED_TYPES: Final = {
    Platform.WINDOWS: (FileType.PDB,),
    Platform.LINUX: (FileType.DEBUG_ONLY, FileType.ELF),
    Platform.MACOS: (FileType.DSYM, FileType.MACHO),
}


def _unified_files(identity: Identity) -> Iterator[LayoutFile]:
    # Files of Windows have the debug id, and never the code id of the program.
    if identity.platform is Platform.WINDOWS and len(identity.some_id) < GUID_AND_AGE:
        return
    some_id = identity.some_id.lower()
    path = f"{some_id[:2]}/{some_id[2:]}"
    yield LayoutFile(FileType.SYMBOL_FILE, f"{path}/{UNIFIED_SYMBOLS}")
    names = ("debuginfo", "executable")
    for file_type, name in zip(_UNIFIED_TYPES[identity.platform], names, strict=False):
        yield LayoutFile(file_type, f"{path}/{name}")


LAYOUTS: Final[Mapping[str, Layout]] = {
    layout.scheme: layout
    for layout in (
        Layout(
            "symsrv",
            "PDB files, PE files by code id, ELF files by build id, and Mach-O files",
            frozenset(PLATFORM_OF),
            _symsrv_files,
            is_symstore=True,
        ),
        Layout("debuginfod", "ELF files", ELF_TYPES, _debuginfod_files),
        Layout("buildid", "ELF files", ELF_TYPES, _build_id_files),
        Layout(
            "unified",
            "files of Windows, Linux and macOS by id",
            frozenset(PLATFORM_OF) - {FileType.PE} | {FileType.SYMBOL_FILE},
            _unified_files,
        ),
    )
}

FindBuildIds = Callable[[str], Sequence[str]]
"""Returns the whole build ids that are known for a debug id, the last one first."""


def find_identities(module: ObjectId, find_build_ids: FindBuildIds) -> Iterator[Identity]:
    """Yield the identities that a module may have.

    Raises IncompleteId at the end for one that may be an ELF file whose whole build id is not known.
    """
    platforms, name, some_id = possible_platforms(*module), module.debug_file, module.debug_id
    if Platform.WINDOWS in platforms:
        yield Identity(Platform.WINDOWS, name, some_id)
    build_ids = _build_ids(some_id, find_build_ids) if Platform.LINUX in platforms else []
    for build_id in build_ids:
        yield Identity(Platform.LINUX, name, build_id)
    has_uuid = len(some_id) == GUID_AND_AGE and some_id.endswith("0")
    # A module with a build id has no UUID.
    if Platform.MACOS in platforms and has_uuid and not build_ids:
        yield Identity(Platform.MACOS, name, some_id[:GUID_DIGITS].lower())
    if Platform.LINUX in platforms and not build_ids and has_uuid:
        raise IncompleteId(UNKNOWN)


def _build_ids(some_id: str, find_build_ids: FindBuildIds) -> Sequence[str]:
    if len(some_id) == WHOLE_BUILD_ID:
        return [some_id.lower()]
    # The age of every ELF file is 0.
    if len(some_id) != GUID_AND_AGE or not some_id.endswith("0"):
        return []
    if short := short_build_id_of(some_id):
        return [short]
    return find_build_ids(some_id)

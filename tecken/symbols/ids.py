"""Names of modules: debug file and debug id, code file and code id.

A debug id is what Breakpad writes in a MODULE record: a GUID or the start of a build id as 32 hex digits,
then an age of 1 to 8 hex digits (PDB 2.0: 8 digits, then the age). Ids are normalised here and nowhere
else. A code id identifies the binary: a PE
file's timestamp and image size, an ELF file's whole build id, a Mach-O file's UUID.

Source: Breakpad, docs/symbol_files.md and docs/processor_design.md.
"""

from __future__ import annotations

import re
import uuid
from typing import Final, NamedTuple

from tecken.errors import BadModule

MAX_NAME: Final = 1024
TRY: Final = "try"
GUID_DIGITS: Final = 32
# Windows compares the names of these files without case, and debuggers ask for them in lower case.
WINDOWS_ENDINGS: Final = (
    *(".pdb", ".dll", ".exe", ".sys", ".ocx", ".drv", ".cpl", ".scr"),
    *(".pd_", ".dl_", ".ex_", ".sy_"),
)
# An ELF build id is at least this long: 8 bytes, as lld writes it with --build-id=fast.
SHORTEST_BUILD_ID: Final = 16
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]+")
_DEBUG_ID: Final = re.compile(r"[0-9A-Fa-f]{9,40}")
_CODE_ID: Final = re.compile(r"[0-9A-Fa-f]{1,128}")


class ModuleKey(NamedTuple):
    """A module as the whole server knows it; made only by `module_key`."""

    debug_file: str
    debug_id: str

    def __str__(self) -> str:
        return f"{self.debug_file}/{self.debug_id}"


class TryModuleKey(ModuleKey):
    """A module as try builds have it, made only by `in_try`.

    It equals no regular module of the same names, so that caches, page files and jobs keep the two apart:
    an upload of try symbols has no influence on regular answers.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return f"{TRY}/{super().__str__()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TryModuleKey) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((TRY, *self))


def in_try(module: ModuleKey) -> TryModuleKey:
    """Return the same module as try builds have it."""
    return TryModuleKey(*module)


def parsed_key(text: str) -> ModuleKey:
    """Return the module whose `str` is `text`; neither of its names has a slash."""
    names, _, debug_id = text.rpartition("/")
    scope, _, debug_file = names.rpartition("/")
    module = ModuleKey(debug_file, debug_id)
    return in_try(module) if scope == TRY else module


def module_key(debug_file: str, debug_id: str) -> ModuleKey:
    """Return the key for a client's spelling of a module.

    Raises BadModule for an empty, overlong or unprintable name, a path, or an id that is not hex.
    """
    file_name(debug_file, "debug file name")
    if not _DEBUG_ID.fullmatch(debug_id):
        raise BadModule("debug id must be 9 to 40 hex digits")
    return ModuleKey(debug_file, normal_debug_id(debug_id))


def normal_debug_id(debug_id: str) -> str:
    """Return a debug id in its one spelling: upper case and with an age.

    Some tools write 32 digits for a module without an age; Breakpad's spelling of that is an age of 0.
    """
    return debug_id.upper() + "0" * (len(debug_id) == GUID_DIGITS)


def is_zero_debug_id(debug_id: str) -> bool:
    """Return whether a debug id has 32 zeros, whatever its age.

    Linkers and tools write it when they know no id, so many builds share it and it identifies none of them.
    """
    return debug_id.startswith("0" * GUID_DIGITS)


def file_name(given: str, what: str = "file name") -> str:
    """As given. Raises BadModule, in which it is called `what`, like `module_key`."""
    if not given or len(given) > MAX_NAME:
        raise BadModule(f"{what} must have 1 to {MAX_NAME} characters")
    if not _NAME.fullmatch(given) or given in (".", ".."):
        raise BadModule(f"{what} has a control character or a path separator")
    return given


def code_id(given: str) -> str:
    """Upper-cased, without the dashes of a GUID. Raises BadModule when the rest is not hex."""
    digits = given.replace("-", "")
    if not _CODE_ID.fullmatch(digits):
        raise BadModule("code id must be 1 to 128 hex digits")
    return digits.upper()


def is_windows_name(name: str) -> bool:
    """Return whether Windows compares this file's name without case."""
    return name.lower().endswith(WINDOWS_ENDINGS)


def debug_ids_of_code_id(some_id: str) -> tuple[str, ...]:
    """Return the debug ids of the module whose whole build id or UUID this may be; none for a PE file's id.

    ELF: the first 16 bytes of the build id, read as a GUID in little-endian order. Mach-O: the UUID itself.
    """
    if len(some_id) < SHORTEST_BUILD_ID or len(some_id) % 2:
        return ()
    start = bytes.fromhex(some_id[:GUID_DIGITS].ljust(GUID_DIGITS, "0"))
    elf = normal_debug_id(uuid.UUID(bytes_le=start).hex)
    return (elf, normal_debug_id(some_id)) if len(some_id) == GUID_DIGITS else (elf,)


def build_id_of(some_id: str, debug_id: str) -> str:
    """Return a code id as a build id, in lower case as linkers print it; "" where it is none.

    The debug id of an ELF file derives from its build id. That tells a build id from a PE file's time stamp
    and size, and from a Mach-O file's UUID.
    """
    derived = debug_ids_of_code_id(some_id)[:1]
    return some_id.lower() if derived == (normal_debug_id(debug_id),) else ""


def symbol_file_name(debug_file: str) -> str:
    """`xul.pdb` -> `xul.sym`, `libxul.so` -> `libxul.so.sym`, as Breakpad's symbol supplier asks for them."""
    stem = debug_file[:-4] if debug_file.lower().endswith(".pdb") else debug_file
    return f"{stem}.sym"

"""What a path asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tecken.errors import BadModule
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import (
    ObjectId,
    code_id,
    debug_ids_of_code_id,
    file_name,
    is_zero_debug_id,
    normal_debug_id,
)
from tecken.symbols.layouts import FileKey

# Debuggers ask every server for this file, which Microsoft's symbol stores have in place of another.
FILE_POINTER = "file.ptr"
# Digits of most debug ids. No code id has so many: it has at most 16 digits, or whole bytes.
GUID_AND_AGE = 33


class Wanted(NamedTuple):
    """File of a module, by a debug id or a code id: 40 digits may be either.

    `key` has the id as a debug id, `given_id` as the client wrote it, in upper case.
    """

    key: FileKey
    given_id: str
    is_symbols: bool

    @property
    def keys(self) -> tuple[FileKey, ...]:
        """Where the file may be stored: older uploads under 32 digits have no age in their path."""
        given = self.key._replace(debug_id=self.given_id)
        return (self.key,) if given == self.key else (self.key, given)

    @property
    def build_id_keys(self) -> tuple[FileKey, ...]:
        """Where the file is stored if the id is a whole build id or a UUID."""
        keys = (self.key._replace(debug_id=debug_id) for debug_id in debug_ids_of_code_id(self.given_id))
        return tuple(key for key in keys if key not in self.keys)

    @property
    def may_be_debug_id(self) -> bool:
        try:
            ObjectId.parse(self.key.debug_file, self.key.debug_id)
        except BadModule:
            return False
        return True

    @property
    def looks_like_debug_id(self) -> bool:
        """Ids of PDB 2.0 are as short as code ids, and obsolete."""
        return self.may_be_debug_id and len(self.given_id) >= GUID_AND_AGE

    @property
    def may_be_code_id(self) -> bool:
        return self.is_symbols and len(self.given_id) != GUID_AND_AGE

    @property
    def is_symbol_file(self) -> bool:
        """By the name that symbol suppliers ask for, so an upstream may have it."""
        return self.may_be_debug_id and self.key.file_name == FileType.BREAKPAD.file_name(self.key.debug_file)


def wanted(file: str, some_id: str, name: str) -> Wanted:
    """Return what a path names. Raises BadModule."""
    given = code_id(some_id)
    key = FileKey(file_name(file, "debug file name"), normal_debug_id(given), file_name(name))
    return Wanted(key, given, key.file_type is FileType.BREAKPAD)


def is_ignored(key: FileKey) -> bool:
    """Return whether no lookup is worth its cost: nothing useful is ever stored under such a name."""
    return key.file_name.lower() == FILE_POINTER or is_zero_debug_id(key.debug_id)


def is_expected(key: FileKey, endings: Iterable[str]) -> bool:
    """Return whether the file's name is one that symbol servers usually have."""
    return key.file_name.lower().endswith(tuple(endings))

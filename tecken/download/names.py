"""What a path asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tecken.errors import BadModule
from tecken.sources.port import FileKey
from tecken.symbols.ids import code_id, file_name, module_key, symbol_file_name

FILE_POINTER = "file.ptr"
"""What a symbol store of Microsoft's has in place of a file; debuggers ask every server for it."""
NO_DEBUG_ID = "0" * 33
GUID_AND_AGE = 33
"""Digits of most debug ids. No code id has so many: it is at most 16 digits, or whole bytes."""


class Wanted(NamedTuple):
    """`key` has a debug id or a code id; which of them, nobody can tell from 40 digits."""

    key: FileKey
    is_symbols: bool

    @property
    def may_be_debug_id(self) -> bool:
        try:
            module_key(self.key.debug_file, self.key.debug_id)
        except BadModule:
            return False
        return True

    @property
    def looks_like_debug_id(self) -> bool:
        """Those of PDB 2.0 are as short as code ids, and nobody has them any more."""
        return self.may_be_debug_id and len(self.key.debug_id) >= GUID_AND_AGE

    @property
    def may_be_code_id(self) -> bool:
        return self.is_symbols and len(self.key.debug_id) != GUID_AND_AGE

    @property
    def is_symbol_file(self) -> bool:
        """By the name that symbol suppliers ask for, so an upstream may have it."""
        return self.may_be_debug_id and self.key.file_name == symbol_file_name(self.key.debug_file)


def wanted(file: str, some_id: str, name: str) -> Wanted:
    """Raises BadModule."""
    key = FileKey(file_name(file, "debug file name"), code_id(some_id), file_name(name))
    return Wanted(key, name.lower().endswith(".sym"))


def ignored(key: FileKey, extensions: Iterable[str]) -> bool:
    """Nobody has it, so nobody needs to be asked."""
    if key.file_name == FILE_POINTER or key.debug_id == NO_DEBUG_ID:
        return True
    return not key.file_name.lower().endswith(tuple(extensions))

"""One requested file, whatever protocol it was requested with."""

from __future__ import annotations

from typing import NamedTuple

from tecken.errors import BadModule
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import ObjectId, code_id, debug_ids_of_code_id, file_name, normal_debug_id
from tecken.symbols.layouts import FileKey

# Digits of most debug ids. No code id has so many: it has at most 16 digits, or whole bytes.
GUID_AND_AGE = 33


class FileRequest(NamedTuple):
    """A file of a module, requested by a debug id or a code id: 40 digits may be either.

    `key` has the id as a debug id, `given_id` as the client wrote it, in upper case. `with_try` includes try
    files in the search. `root` is the path below which Tecken's own protocol offers the files of this
    request, "" or "/try"; redirects lead there, whatever protocol the request has. `code_file` and `code_id`
    are what the client added about the binary, for the list of missing symbols.
    """

    key: FileKey
    given_id: str
    with_try: bool = False
    root: str = ""
    code_file: str = ""
    code_id: str = ""

    @property
    def keys(self) -> tuple[FileKey, ...]:
        """Return where the file may be stored: older uploads under 32 digits have no age in their path."""
        given = self.key._replace(debug_id=self.given_id)
        return (self.key,) if given == self.key else (self.key, given)

    @property
    def build_id_keys(self) -> tuple[FileKey, ...]:
        """Return where the file is stored if the id is a whole build id or a UUID."""
        keys = (self.key._replace(debug_id=debug_id) for debug_id in debug_ids_of_code_id(self.given_id))
        return tuple(key for key in keys if key not in self.keys)

    @property
    def module(self) -> ObjectId:
        """Return the module, provided that the id is a debug id."""
        return ObjectId(self.key.debug_file, self.key.debug_id)

    @property
    def may_be_debug_id(self) -> bool:
        """Return whether the id has the form of a debug id."""
        try:
            ObjectId.parse(self.key.debug_file, self.key.debug_id)
        except BadModule:
            return False
        return True

    @property
    def looks_like_debug_id(self) -> bool:
        """Return whether the id is as long as debug ids are; those of PDB 2.0 are shorter, and obsolete."""
        return self.may_be_debug_id and len(self.given_id) >= GUID_AND_AGE

    @property
    def may_be_code_id(self) -> bool:
        """Return whether symbols may have been requested by a code id."""
        return self.is_symbols and len(self.given_id) != GUID_AND_AGE

    @property
    def is_symbols(self) -> bool:
        """Return whether the file is one of symbols, under any name."""
        return self.key.file_type.is_compressed

    @property
    def is_symbol_file(self) -> bool:
        """Return whether the name is the one that symbol suppliers use, so that an upstream may have it."""
        return self.may_be_debug_id and self.key.file_name == FileType.SYMBOL_FILE.file_name(
            self.key.debug_file
        )


def parse_names(file: str, some_id: str, name: str) -> FileRequest:
    """Return the request for the names of a path, as the client wrote them. Raises BadModule."""
    given = code_id(some_id)
    key = FileKey(file_name(file, "debug file name"), normal_debug_id(given), file_name(name))
    return FileRequest(key, given)

"""Types of the files that belong to an object: how each is named, stored and sent.

Nothing else decides by a file name's suffix what a file is. A type for every kind of file that is uploaded
today is here, so a format that learns to read one of them (`tecken.symbols.formats`) changes nothing here.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

Encoding = Literal["gzip", "identity"]

TEXT: Final = "text/plain"
BINARY: Final = "application/octet-stream"
_PDB_SUFFIX: Final = ".pdb"


class FileType(Enum):
    """Types of files in their order of preference: the first of an object's files symbolicates best.

    A type is (suffixes of its files, in lower case; what is added to the debug file's name when a file is
    named after its object).
    """

    SYMBOL_FILE = ((".sym",), ".sym")
    PDB = ((_PDB_SUFFIX, ".pd_"), "")
    DEBUG_ONLY = ((".debug", ".dbg", ".dbg.gz"), ".debug")
    DSYM = ((".dsym", ".dsym.tar.bz2"), ".dSYM")
    DWP = ((".dwp",), ".dwp")
    ELF = ((".so",), "")
    MACHO = ((".dylib",), "")
    PE = ((".dll", ".exe", ".dl_", ".ex_"), "")
    OTHER = ((), "")

    def __init__(self, suffixes: tuple[str, ...], addition: str) -> None:
        self.suffixes = suffixes
        self._addition = addition

    @classmethod
    def of_name(cls, file_name: str) -> FileType:
        """Return the type that a file's name shows; OTHER for a name without a known suffix."""
        name = file_name.lower()
        return next((file_type for file_type in cls if name.endswith(file_type.suffixes)), cls.OTHER)

    def file_name(self, debug_file: str) -> str:
        """Return the name of an object's file of this type.

        Symbol files replace `.pdb` and are added to everything else: `xul.pdb` has `xul.sym`, and `libxul.so`
        has `libxul.so.sym`. Symbol suppliers request them by these names.
        """
        if self is FileType.SYMBOL_FILE and debug_file.lower().endswith(_PDB_SUFFIX):
            return debug_file[: -len(_PDB_SUFFIX)] + self._addition
        return debug_file + self._addition

    @property
    def suffix(self) -> str:
        """Most common suffix of the type; "" for a type without one."""
        return next(iter(self.suffixes), "")

    @property
    def encoding(self) -> Encoding:
        """Encoding in which files of this type are stored."""
        # Symbol files are text, which gzip reduces to a tenth. Other types are stored as sent: build systems
        # often have packed them already (`.pd_`, `.dbg.gz`).
        return "gzip" if self is FileType.SYMBOL_FILE else "identity"

    @property
    def is_compressed(self) -> bool:
        """Return whether files of this type are stored compressed."""
        return self.encoding == "gzip"

    @property
    def content_type(self) -> str:
        """Media type of files of this type."""
        return TEXT if self is FileType.SYMBOL_FILE else BINARY

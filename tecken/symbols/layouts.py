"""Types of the files that belong to an object, and their paths in every directory layout in use.

A file type decides how a file is named, stored and sent. Nothing else decides by a file name's suffix what a
file is. There is a type for every kind of file that is uploaded today, so a format that learns to read one of
them (`tecken.symbols.formats`) changes nothing here.

A layout maps `(ObjectId, FileType)` to a path, and back:

| layout   | path                              | used by                                             |
|----------|-----------------------------------|-----------------------------------------------------|
| breakpad | `xul.pdb/44E4...7C2/xul.sym`      | upstreams, URLs of downloads, members of archives   |
| tecken   | `v1/` and the same                | uploaded files; `lc/` has an index of Windows names |
|          | `rf/` and the same                | native files: a reference to their content          |
|          | `blob/85/8561...` (SHA-256)       | content of native files, once for all equal files   |
| pages    | `pages/` or `try/pages/`, and the | page files                                          |
|          | folded `xul.pdb/44E4...7C2`       |                                                     |

A new layout gets a section here with two functions: one from an object and a file type to a path, one back,
and a row in the table. Paths of native files at upstreams are in `tecken.storage.upstreams.layouts`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from enum import Enum
from typing import Final, Literal, NamedTuple

from tecken.errors import BadModule
from tecken.symbols.ids import TRY, ObjectId, is_windows_name

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
    SOURCES = ((".src.zip",), ".src.zip")
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


NATIVE_TYPES: Final = tuple(file_type for file_type in FileType if not file_type.is_compressed)
"""Types of all files but symbol files. Their names say little: Python's modules are `.so` files on macOS too,
and `.debug` files have the format of their executable."""


# Breakpad: upstreams, downloads, members of archives.

PLAIN: Final = "breakpad"
"""Name of the layout in commands."""
UNIFIED_SYMBOLS: Final = "breakpad"
"""Name of symbol files in the unified layout."""


class FileKey(NamedTuple):
    """Key of an uploaded file: `xul.pdb/44E4...7C2/xul.sym`, with the debug id in upper case.

    Any file may be stored beside its object's others, so its name need not follow from the object.
    """

    debug_file: str
    debug_id: str
    file_name: str

    def __str__(self) -> str:
        return f"{self.debug_file}/{self.debug_id}/{self.file_name}"

    @property
    def file_type(self) -> FileType:
        """Type that the file's name shows."""
        return FileType.of_name(self.file_name)

    @property
    def in_lower_case(self) -> FileKey:
        """Same key in the form in which Windows compares it; ids have no case."""
        return FileKey(self.debug_file.lower(), self.debug_id, self.file_name.lower())


def file_of(object_id: ObjectId, file_type: FileType) -> FileKey:
    """Return the key of an object's file, in the spelling of the client."""
    name = object_id.debug_file
    return FileKey(name, object_id.debug_id, file_type.file_name(name))


def symbol_file(object_id: ObjectId) -> FileKey:
    """Return the key of an object's symbol file."""
    return file_of(object_id, FileType.SYMBOL_FILE)


def object_of(key: FileKey) -> ObjectId | None:
    """Return the regular object whose symbols are looked up under a key; None for any other file."""
    with suppress(BadModule):
        object_id = ObjectId.parse(key.debug_file, key.debug_id)
        expected = symbol_file(object_id)
        if key == expected:
            return object_id
        if object_id.ignores_case and key.in_lower_case == expected.in_lower_case:
            return object_id
    return None


# Tecken: our own storage.

ROOT: Final = "v1"
ROOTS: Final = (ROOT, f"{TRY}/{ROOT}")
# As long as ROOT, so that both objects of a file have names that the storage allows.
LOWER_CASE: Final = "lc"
# Page files once had this suffix, beside symbol files. A local storage keeps `#<number>` for itself.
FORMER_PAGES: Final = ".pages"
# The text of native files once was beside their page file, from which it is made now.
FORMER_TEXTS: Final = "texts"
_RESERVED: Final = re.compile(rf".*({re.escape(FORMER_PAGES)}|#\d+)", re.DOTALL)
_KEY_PARTS: Final = 3


def storage_path(key: FileKey) -> str:
    """Return the path of an uploaded file in storage."""
    return f"{ROOT}/{key}"


def parse_storage_path(path: str) -> FileKey:
    """Return the key of an uploaded file. Raise ValueError for any other path."""
    root, *parts = path.split("/")
    if root != ROOT or len(parts) != _KEY_PARTS or is_reserved(parts[2]):
        raise ValueError(f"{path} is not {ROOT}/<debug file>/<DEBUG ID>/<file name>")
    return FileKey(*parts)


def below_root(path: str) -> str:
    """Return a storage path without the roots of storage, in the form that URLs and pages show."""
    return path.removeprefix(f"{TRY}/").removeprefix(f"{ROOT}/")


def is_reserved(file_name: str) -> bool:
    """Return whether no upload can have this file name."""
    return bool(_RESERVED.fullmatch(file_name))


def is_former(path: str) -> bool:
    """Return whether a path is that of a page file, or of a text of native files, of a former release."""
    return path.endswith(FORMER_PAGES) or path.startswith(f"{FORMER_TEXTS}/")


def lower_case_path(key: FileKey) -> str:
    """Return the path of the object that names the file which was put last in any case."""
    return f"{LOWER_CASE}/{str(key).lower()}"


def needs_lower_case_path(key: FileKey) -> bool:
    """Return whether other spellings of a file's name find it only by its lower-case path."""
    names = key.debug_file + key.file_name
    return is_windows_name(key.debug_file) and names != names.lower()


# As long as ROOT, for the same reason. Native files that a former release stored have no reference, but their
# content under the path below ROOT.
REFERENCES: Final = "rf"
BLOBS: Final = "blob"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def reference_path(key: FileKey) -> str:
    """Return the path of the reference from a native file's name to its content."""
    return f"{REFERENCES}/{key}"


def parse_reference_path(path: str) -> FileKey:
    """Return the key of a native file. Raise ValueError for a path that has none."""
    return parse_storage_path(path.replace(REFERENCES, ROOT, 1))


def blob_path(digest: str) -> str:
    """Return the path of the content with this SHA-256, in lower-case hex."""
    return f"{BLOBS}/{digest[:2]}/{digest}"


def parse_blob_path(path: str) -> str | None:
    """Return the SHA-256 of the content at a path; None for any other path."""
    digest = path.rpartition("/")[2]
    return digest if _DIGEST.fullmatch(digest) and path == blob_path(digest) else None


# Page files: one for every spelling of an object's name, and outside of the roots that uploads have.

PAGES: Final = "pages"
PAGE_ROOTS: Final = (PAGES, f"{TRY}/{PAGES}")


def page_path(object_id: ObjectId) -> str:
    """Return the path of an object's page file in storage."""
    scope = f"{TRY}/" if object_id.is_try else ""
    return f"{scope}{PAGES}/{object_id.name}/{object_id.debug_id}"


def parse_page_path(path: str) -> ObjectId | None:
    """Return the object of a page file; None for any other path."""
    parts = path.split("/")
    is_try = parts[0] == TRY
    if len(parts) != _KEY_PARTS + is_try or parts[-_KEY_PARTS] != PAGES:
        return None
    # Only the folded spelling is a page file's: any other path must not be taken for one and deleted.
    object_id = ObjectId(parts[-2], parts[-1], is_try=is_try)
    return object_id if page_path(object_id) == path else None

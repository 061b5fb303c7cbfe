"""The interface of a file format: which object a file belongs to, and whether its symbols can be used."""

from __future__ import annotations

import uuid
from enum import Enum
from typing import NamedTuple, Protocol

from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import FileType

_GUID_BYTES = 16


class Kind(Enum):
    """Information that a file has, the most useful first."""

    DEBUG = "debug"
    """Functions, lines and inlined calls."""
    EXECUTABLE = "executable"
    """Code, with the names of some functions at best."""
    SYMBOL_TABLE = "symbol table"
    """Names of functions alone."""
    COMMON = "common"
    """Part of another file: the parts that several files share."""
    SOURCES = "sources"
    """Source files, and no symbols."""


class ObjectInfo(NamedTuple):
    """Object that a file belongs to, according to the file itself.

    Names and ids are spelt as in the file, and "" where it has none; `tecken.symbols.ids` normalises them.
    """

    kind: Kind
    format: str
    arch: str
    debug_file: str
    debug_id: str
    code_file: str = ""
    code_id: str = ""
    build_id: str = ""
    generator: str = ""
    common_id: str = ""
    """Build id of the file with the parts that this one shares with others (dwz)."""
    has_code: bool = False
    has_unwinding: bool = False
    """Whether the file has unwind information, which is usually beside the code."""


def debug_id_of(identifier: bytes, age: int = 0, *, is_little_endian: bool = True) -> str:
    """Return the debug id of a GUID, build id or UUID, as symbol files have it; "" for an empty one.

    Of a longer identifier the first 16 bytes count, and a shorter one is filled with zeros. Its first three
    numbers are read in the byte order of the file.
    """
    if not identifier:
        return ""
    guid = identifier[:_GUID_BYTES].ljust(_GUID_BYTES, b"\0")
    value = uuid.UUID(bytes_le=guid) if is_little_endian else uuid.UUID(bytes=guid)
    return f"{value.hex.upper()}{age:X}"


class UsabilityCheck(Protocol):
    """Search for symbols that can be used, in a file that passes on its way into storage.

    It must cost little, in bounded memory: conversion, which runs later in a worker, finds the rest.
    """

    def feed(self, chunk: bytes) -> None:
        """Search the next bytes of the unpacked file."""
        ...

    def problem(self) -> str:
        """Return why no symbol of the file can be used; "" when some can."""
        ...


class Format(Protocol):
    """One file format."""

    name: str
    file_types: tuple[FileType, ...]
    """Types of files that can be in this format."""
    identity: str
    """Name in warnings of the part of a file that identifies its object."""

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the objects of a file; none of a file of another format.

        Raises:
            Malformed: The file begins like one of this format, and its object cannot be read.
        """
        ...

    def usability_check(self) -> UsabilityCheck | None:
        """Return a check of one file; None for native files, which are not checked during their upload."""
        ...

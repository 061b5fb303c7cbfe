"""The interface of a file format: which object a file belongs to, and whether its symbols can be used."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from tecken.symbols.layouts import FileType


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


class ObjectInfo(NamedTuple):
    """Object that a file belongs to, according to the first bytes of the file.

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

    def identify(self, head: bytes) -> ObjectInfo | None:
        """Return the object in the first `HEAD_BYTES` of a file; None when they are of another format."""
        ...

    def usability_check(self) -> UsabilityCheck | None:
        """Return a check of one file; None for a format that is only identified, and never converted."""
        ...

"""Formats of the files that belong to an object, and the registry of those that can be read.

`identify(file)` returns the objects of any file. A format is a module with a class that has the interface
`base.Format`, and a line in `FORMATS`. Symbol files are text, which is cut into pages as it is
(`tecken.symbols.pagefile.convert`); an engine writes this text for native files (`tecken.storage.dump`).

docs/contributing.md lists the files of a new format. Its class has `name`, `file_types`, `identity`,
`identify(file)` and `usability_check()`. `identify` gets any upload: for a file of another format it returns
nothing, raises nothing, and reads no more than the head. Its other reads are bounded by `reader.FileReader`.
The first format in `FORMATS` that recognises a file wins, so strict ones stand before lax ones.

The types of its files are in `tecken.symbols.layouts` already, and their paths follow from them
(`layouts.file_of`); files without a suffix of their own are `FileType.OTHER`. Several formats may share a
type. Uploads then record kind, format, code file, code id, build id, architecture and generator of such
files. The debug file and the debug id of a row are those of the path, and an upload warns if the file has
others. Native files are found by the debug id in the file (`native_id`).

What must never happen: nothing but the file's own numbers bounds what is read, or how many steps are run.
"""

from __future__ import annotations

from typing import Final

from tecken.symbols.formats.base import Format, ObjectInfo
from tecken.symbols.formats.breakpad import Breakpad, parse_module
from tecken.symbols.formats.elf import Elf
from tecken.symbols.formats.macho import MachO
from tecken.symbols.formats.pdb import Pdb
from tecken.symbols.formats.pe import Pe
from tecken.symbols.formats.portable_pdb import PortablePdb
from tecken.symbols.formats.reader import HEAD_BYTES, FileReader
from tecken.symbols.formats.source_bundle import SourceBundle
from tecken.symbols.formats.wasm import Wasm
from tecken.symbols.layouts import FileType

__all__ = ["FORMATS", "HEAD_BYTES", "FileReader", "format_of", "identify", "parse_module"]

FORMATS: Final[tuple[Format, ...]] = (
    *(Breakpad(), Elf(), Pe(), Pdb(), PortablePdb(), MachO(), Wasm()),
    SourceBundle(),
)


def format_of(file_type: FileType) -> Format | None:
    """Return the first format that files of a type can be in; None for a type that is only stored."""
    return next((entry for entry in FORMATS if file_type in entry.file_types), None)


def recognise(
    file: FileReader, file_type: FileType | None = None
) -> tuple[Format, tuple[ObjectInfo, ...]] | None:
    """Return a file's format and its objects; None if no format recognises it. Raises Malformed.

    With a `file_type` only the formats are tried that files of this type can be in.
    """
    formats = (entry for entry in FORMATS if file_type is None or file_type in entry.file_types)
    return next(((entry, objects) for entry in formats if (objects := entry.identify(file))), None)


def identify(file: FileReader, file_type: FileType | None = None) -> tuple[ObjectInfo, ...]:
    """Return the objects of a file; none if no format recognises it. Raises Malformed."""
    found = recognise(file, file_type)
    return found[1] if found else ()

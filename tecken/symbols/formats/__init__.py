"""Formats of the files that belong to an object, and the registry of those that can be read.

`identify(head)` returns an `ObjectInfo` for the first bytes of any file. A format is a module with a class
that has the interface `base.Format`, and a line in `FORMATS`. Only conversion knows a format by name: it cuts
the text of symbol files into pages (`tecken.symbols.pagefile.convert`).

To add a format:

1. `tecken/symbols/formats/x.py`: a class `X` with `name`, `file_types`, `identity`, `identify(head)` and
   `usability_check()`. `identify` gets the bytes of any upload: for a file of another format it must return
   None and raise nothing, and it costs no more than one look at the head. `usability_check` returns None as
   long as files of the format are not converted.
2. A line in `FORMATS` below. The first format that recognises a file wins: strict ones stand before lax ones.
3. `tests/symbols/formats/test_x.py`. `test_formats.py` runs its checks over every registered format.
4. A row in the table "File formats" of `docs/upload.md`.

The types of its files are in `tecken.symbols.layouts` already, and their paths follow from them
(`layouts.file_of`); files without a suffix of their own are `FileType.OTHER`. Several formats may share a
type. Uploads then record kind, format, code file, code id, build id, architecture and generator of such
files. The debug file and the debug id of a row are those of the path, and an upload warns if the file has
others.
"""

from __future__ import annotations

from typing import Final

from tecken.symbols.formats.base import Format, ObjectInfo
from tecken.symbols.formats.breakpad import Breakpad, parse_module
from tecken.symbols.layouts import FileType

__all__ = ["FORMATS", "HEAD_BYTES", "format_of", "identify", "parse_module"]

FORMATS: Final[tuple[Format, ...]] = (Breakpad(),)

HEAD_BYTES: Final = 16 << 10
"""Bytes from the start of a file that a format receives to identify it."""


def format_of(file_type: FileType) -> Format | None:
    """Return the first format that files of a type can be in; None for a type that is only stored."""
    return next((entry for entry in FORMATS if file_type in entry.file_types), None)


def recognise(head: bytes, file_type: FileType | None = None) -> tuple[Format, ObjectInfo] | None:
    """Return the format of a file's first bytes, and what they say about its object; None if no format does.

    With a `file_type` only the formats are tried that files of this type can be in.
    """
    formats = (entry for entry in FORMATS if file_type is None or file_type in entry.file_types)
    return next(((entry, info) for entry in formats if (info := entry.identify(head)) is not None), None)


def identify(head: bytes, file_type: FileType | None = None) -> ObjectInfo | None:
    """Return what the first bytes of a file say about its object, as `recognise` does."""
    found = recognise(head, file_type)
    return found[1] if found else None

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
4. A section in `docs/upload.md`: which files are recognised, and what becomes of them.

The types of its files are in `tecken.symbols.filetypes` already, and their paths follow from them
(`layouts.file_of`). Uploads then record ids, architecture and generator of such files, and warn of one that
lies under another object's id.
"""

from __future__ import annotations

from typing import Final

from tecken.symbols.filetypes import FileType
from tecken.symbols.formats.base import Format, ObjectInfo
from tecken.symbols.formats.breakpad import Breakpad, parse_module

__all__ = ["FORMATS", "HEAD_BYTES", "format_of", "identify", "parse_module"]

FORMATS: Final[tuple[Format, ...]] = (Breakpad(),)

HEAD_BYTES: Final = 16 << 10
"""Bytes from the start of a file that a format receives to identify it."""


def format_of(file_type: FileType) -> Format | None:
    """Return the first format that files of a type can be in; None for a type that is only stored."""
    return next((entry for entry in FORMATS if file_type in entry.file_types), None)


def identify(head: bytes, file_type: FileType | None = None) -> ObjectInfo | None:
    """Return the object that the first bytes of a file describe; None for a file of no known format.

    With a `file_type` only the formats are tried that files of this type can be in.
    """
    formats = (entry for entry in FORMATS if file_type is None or file_type in entry.file_types)
    return next((info for entry in formats if (info := entry.identify(head)) is not None), None)

"""Reasons why a stored file will not symbolicate.

The checks here cost little and are made while a file is stored. Conversion, which runs later in a worker,
finds the rest; `/explain/` and the page of an upload show its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tecken.symbols.filetypes import FileType
from tecken.symbols.formats import HEAD_BYTES, format_of, recognise
from tecken.symbols.formats.base import Format, ObjectInfo, UsabilityCheck
from tecken.symbols.ids import is_windows_name, is_zero_debug_id, normal_debug_id
from tecken.symbols.layouts import FileKey

# The longest name from a file's own records in a warning.
NAME_CHARACTERS: Final = 255
NATIVE: Final = f"stored, but it will not symbolicate: upload its {FileType.SYMBOL_FILE.suffix} file too"
ZERO_ID: Final = "its debug id is all zeros, which names no build: it is never looked up"


class SymbolText:
    """Head of a file that is being stored under `key`, and whether the file has a usable record."""

    def __init__(self, key: FileKey) -> None:
        self._key = key
        self._head = b""
        self._format = format_of(key.file_type)
        self._check = self._format.usability_check() if self._format else None

    def feed(self, chunk: bytes) -> None:
        """Inspect the next bytes of the file."""
        if self._format and len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        if self._check:
            self._check.feed(chunk)

    def info(self) -> ObjectInfo | None:
        """Return the identification in the file; None if its format is unknown."""
        found = self._recognise()
        return found[1] if found else None

    def _recognise(self) -> tuple[Format, ObjectInfo] | None:
        return recognise(self._head, self._key.file_type)

    def warnings(self) -> Iterator[str]:
        """Yield each reason why the file will not symbolicate, or only in part."""
        if is_zero_debug_id(self._key.debug_id):
            yield ZERO_ID
        if self._format is None:
            return
        # Several formats may share a type of file, so the first one of the type need not be the file's own.
        known, info = self._recognise() or (self._format, None)
        if info:
            yield from self._differences(info, known.identity)
        if self._check:
            yield from self._obstacles(self._check, known.identity, info)

    def _obstacles(self, check: UsabilityCheck, identity: str, info: ObjectInfo | None) -> Iterator[str]:
        """Yield each reason why the file cannot be converted."""
        key = self._key
        if info is None:
            yield f"no {identity}: it will not symbolicate"
            return
        if not self._has_expected_name():
            expected = key.file_type.file_name(key.debug_file)
            yield f"its name is not {expected}, where symbols are looked for: it will not symbolicate"
        if problem := check.problem():
            yield f"{problem}: it will not symbolicate"

    def _differences(self, info: ObjectInfo, identity: str) -> Iterator[str]:
        """Yield each difference between the file's own names and its key.

        Many native files have no debug file or debug id in them, and symbol stores have executables below
        their code file and code id.
        """
        key = self._key
        is_below_code_id = self._check is None and normal_debug_id(info.code_id) == key.debug_id
        name, some_id = (
            (info.code_file, info.code_id) if is_below_code_id else (info.debug_file, info.debug_id)
        )
        if some_id and normal_debug_id(some_id) != key.debug_id:
            other = some_id[:NAME_CHARACTERS]
            yield f"its {identity} is of another build, {other}: it will not symbolicate"
        if name and _differ(name, key.debug_file):
            other = repr(name[:NAME_CHARACTERS])
            yield f"its {identity} names {other}: only requests for {key.debug_file} find it"

    def _has_expected_name(self) -> bool:
        key = self._key
        expected = key.file_type.file_name(key.debug_file)
        if is_windows_name(key.debug_file):
            return key.file_name.lower() == expected.lower()
        return key.file_name == expected


def _differ(name: str, other: str) -> bool:
    if is_windows_name(name) and is_windows_name(other):
        return name.lower() != other.lower()
    return name != other

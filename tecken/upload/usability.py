"""Reasons why a stored file will not symbolicate.

The checks here cost little and are made while a file is stored. Conversion, which runs later in a worker,
finds the rest; `/explain/` and the page of an upload show its result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from tecken.errors import Malformed
from tecken.symbols.filetypes import FileType
from tecken.symbols.formats.breakpad import Module, described
from tecken.symbols.ids import is_windows_name, is_zero_debug_id, normal_debug_id
from tecken.symbols.layouts import FileKey

# MODULE and INFO records are in it.
HEAD_BYTES: Final = 16 << 10
# Kept of a line that continues in the next chunk; the fields that are checked come first in it.
LINE_BYTES: Final = 4 << 10
# The longest name from a file's own records in a warning.
NAME_CHARACTERS: Final = 255
NATIVE: Final = "stored, but it will not symbolicate: upload its .sym file too"
ZERO_ID: Final = "its debug id is all zeros, which names no build: it is never looked up"

_BEGIN: Final = rb"\n(?:FUNC|PUBLIC) [ \t]*(?:m[ \t]+)?"
_ADDRESS: Final = rb" [ \t]*(?:m[ \t]+)?0{0,24}[0-9a-fA-F]{1,8}[ \t]+"
_USABLE: Final = re.compile(
    rb"\n(?:FUNC" + _ADDRESS + rb"0{0,24}[1-9a-fA-F][0-9a-fA-F]{0,31}[ \t]+[0-9a-fA-F]"
    rb"|PUBLIC" + _ADDRESS + rb"[0-9a-fA-F])"
)
# The first that a file has, of those without a usable record.
_REASONS: Final = (
    (re.compile(_BEGIN + rb"0[xX]"), "its addresses begin with 0x, and must be hex digits alone"),
    (
        re.compile(_BEGIN + rb"0{0,24}[1-9a-fA-F][0-9a-fA-F]{8,32}[ \t]"),
        "its addresses are past 4 GiB, and must count from the start of the module",
    ),
    (re.compile(rb"\n(?:FUNC|PUBLIC) "), "none of its FUNC and PUBLIC records can be read"),
)
_NO_RECORD: Final = "it has no FUNC and no PUBLIC record"


class SymbolText:
    """What passes of a file to be stored under `key`: its head, and whether it has a usable record."""

    def __init__(self, key: FileKey) -> None:
        self._key = key
        self._head = b""
        self._is_usable = False
        self._reasons: set[str] = set()
        self._line = b"\n"

    def feed(self, chunk: bytes) -> None:
        # Nearly every symbol file has a usable record early on, so that nothing more is searched.
        if self._is_usable or not self._key.file_type.is_compressed:
            return
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        text = self._line + chunk
        if _USABLE.search(text):
            self._is_usable = True
            return
        self._reasons |= {reason for pattern, reason in _REASONS if pattern.search(text)}
        begin = text.rfind(b"\n")
        self._line = text[begin : begin + LINE_BYTES]

    def module(self) -> Module | None:
        """Return what the MODULE and INFO records say; None without them."""
        with suppress(Malformed):
            return described(self._head)
        return None

    def warnings(self) -> Iterator[str]:
        """Yield each reason why the file is of less use than its sender may think."""
        key = self._key
        if is_zero_debug_id(key.debug_id):
            yield ZERO_ID
        if not key.file_type.is_compressed:
            return
        module = self.module()
        if module is None:
            yield "no MODULE record: it will not symbolicate"
            return
        if normal_debug_id(module.debug_id) != key.debug_id:
            other = module.debug_id[:NAME_CHARACTERS]
            yield f"its MODULE record is of another build, {other}: it will not symbolicate"
        if _differ(module.debug_file, key.debug_file):
            other = repr(module.debug_file[:NAME_CHARACTERS])
            yield f"its MODULE record names {other}: only requests for {key.debug_file} find it"
        if _differ(key.file_name, expected := FileType.BREAKPAD.file_name(key.debug_file)):
            yield f"its name is not {expected}, where symbols are looked for: it will not symbolicate"
        if not self._is_usable:
            reason = next((reason for _, reason in _REASONS if reason in self._reasons), _NO_RECORD)
            yield f"{reason}: it will not symbolicate"


def _differ(name: str, other: str) -> bool:
    if is_windows_name(name) and is_windows_name(other):
        return name.lower() != other.lower()
    return name != other

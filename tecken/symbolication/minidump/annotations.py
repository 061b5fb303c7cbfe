"""Annotations of Crashpad: texts that a program attaches to its crash reports, and to its modules.

Source: Crashpad's `minidump_extensions.h`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump_bytes import DumpBytes, Record, unpack
from tecken.symbolication.minidump.module_list import guid_digits

MAX_ENTRIES: Final = 4096

_CRASHPAD_INFO: Final = 0x4350_0001
_INFO: Final = Struct("<I16s16sIIII")
_ENTRY: Final = Struct("<II")
_LINK: Final = Struct("<III")
_MODULE: Final = Struct("<I6I")
_OBJECT: Final = Struct("<IHHI")
_RVA: Final = Struct("<I")
_TEXT_TYPE: Final = 1


def read_annotations(dump: DumpBytes) -> dict[str, object] | None:
    """Return Crashpad's information, as in the report. An object that is no text is left out."""
    return dump.read_stream(_CRASHPAD_INFO, "annotations of Crashpad", lambda part: _read(dump, part), None)


def _read(dump: DumpBytes, stream: memoryview) -> dict[str, object]:
    if len(stream) < _INFO.size:
        raise Malformed(f"a structure of {_INFO.size} bytes is cut after {len(stream)} bytes")
    version, report_id, client_id, *places = _INFO.unpack_from(stream)
    if not version:
        raise Malformed("its version is 0")
    left = _EntryBudget()
    return {
        "report_id": guid_digits(report_id),
        "client_id": guid_digits(client_id),
        "simple_annotations": _dictionary(dump, left, *places[:2]),
        "modules": [_module(dump, left, *link) for link in _table(dump, left, _LINK, *places[2:])],
    }


class _EntryBudget:
    """Number of entries that may still be read: tables can overlap, so the file's size is no bound."""

    def __init__(self) -> None:
        self.entries = MAX_ENTRIES

    def spend(self, count: int) -> None:
        self.entries -= count
        if self.entries < 0:
            raise Malformed(f"it has more than {MAX_ENTRIES} entries")


def _table(dump: DumpBytes, left: _EntryBudget, layout: Struct, size: int, rva: int) -> list[Record]:
    """Return the records of a table, which begins with their number."""
    if not size:
        return []
    content = dump.part(size, rva)
    count = int.from_bytes(content[:4], "little")
    left.spend(count)
    if 4 + count * layout.size > size:
        raise Malformed(f"a table of {count} is longer than its {size} bytes")
    return list(layout.iter_unpack(content[4 : 4 + count * layout.size]))


def _dictionary(dump: DumpBytes, left: _EntryBudget, size: int, rva: int) -> dict[str, str]:
    return {_text(dump, key): _text(dump, value) for key, value in _table(dump, left, _ENTRY, size, rva)}


def _module(dump: DumpBytes, left: _EntryBudget, index: int, size: int, rva: int) -> dict[str, object]:
    """Return the annotations of a module, which `index` is the place of in the dump's list of modules."""
    _, *places = unpack(_MODULE, dump.part(size, rva))
    return {
        "module_index": index,
        "list_annotations": [_text(dump, text) for (text,) in _table(dump, left, _RVA, *places[:2])],
        "simple_annotations": _dictionary(dump, left, *places[2:4]),
        "annotation_objects": {
            _text(dump, name): _text(dump, value)
            for name, kind, _, value in _table(dump, left, _OBJECT, *places[4:])
            if kind == _TEXT_TYPE
        },
    }


def _text(dump: DumpBytes, rva: int) -> str:
    text = dump.utf8(rva)
    if text is None:
        raise Malformed("one of its texts cannot be read")
    return text

"""Loaded and unloaded modules of a dump, with the ids under which symbols are stored.

The CodeView record of a module names the debug file that belongs to it: that of a PDB file for Windows, the
same record with the UUID of a Mach-O file for macOS, and a build id for Linux and Android. Ids are spelled as
in rust-minidump's JSON.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import DumpModule
from tecken.symbolication.minidump.dump_bytes import DumpBytes, Record

MAX_MODULES: Final = 4096
# A build id of SHA-256 has 32 bytes; the linkers take any number of digits.
MAX_BUILD_ID_BYTES: Final = 256

_MODULE_LIST: Final = 4
_UNLOADED_MODULE_LIST: Final = 14
# Base, size, checksum, time stamp, name; signature and version of the version info, four words of the file
# and product version; size and offset of the CodeView record.
_MODULE: Final = Struct("<QIIII6I28xII24x")
_UNLOADED: Final = Struct("<QIIII")
_PDB70: Final = Struct("<4s16sI")
_PDB20: Final = Struct("<4sIII")
_VERSION_INFO: Final = (0xFEEF_04BD, 0x1_0000)
_WITH_HALF_WORDS: Final = ("Windows NT", "Mac OS X", "iOS")
_APPLE: Final = ("Mac OS X", "iOS")


class DebugRecord(NamedTuple):
    """Content of a CodeView record: debug file, its id, and the code id, None for that of a PE file."""

    debug_file: str
    debug_id: str
    code_id: str | None


_NO_RECORD: Final = DebugRecord("", "", "")


def read_modules(dump: DumpBytes, os: str) -> tuple[DumpModule, ...]:
    """Return the loaded modules in the order of the dump. Modules without an address range are left out."""
    records = dump.read_list(_MODULE_LIST, "modules", _MODULE, MAX_MODULES)
    return tuple(_module(dump, record, os) for record in records if _is_range(record))


def read_unloaded(dump: DumpBytes) -> tuple[DumpModule, ...]:
    """Return the modules that were unloaded before the dump was written."""
    records = dump.read_list(_UNLOADED_MODULE_LIST, "unloaded modules", _UNLOADED, MAX_MODULES, is_wide=True)
    return tuple(
        DumpModule(record[0], record[1], _name(dump, record), _pe_code_id(record))
        for record in records
        if _is_range(record)
    )


def base_name(path: str) -> str:
    """Return the last part of a path of Windows or another system."""
    return path[max(path.rfind("/"), path.rfind("\\")) + 1 :]


def guid_digits(guid: bytes) -> str:
    """Return the digits of a GUID, whose first three fields are little-endian."""
    return (guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]).hex()


def identify_elf(build_id: bytes, name: str) -> DebugRecord:
    """Return the ids of an ELF file. Its debug id is made of the first 16 bytes of the build id."""
    if not any(build_id):
        # A file that was mapped, such as a font.
        return DebugRecord(name, "", "")
    digits = guid_digits(build_id[:16].ljust(16, b"\0"))
    return DebugRecord(name, f"{digits}0".upper(), build_id.hex())


def _is_range(record: Record) -> bool:
    base, size = record[:2]
    return bool(size) and bool(base + size < 1 << 64)


def _module(dump: DumpBytes, record: Record, os: str) -> DumpModule:
    name = _name(dump, record)
    debug = _debug_record(dump, record, os, name)
    code_id = _pe_code_id(record) if debug.code_id is None else debug.code_id
    version = _version(record, os)
    return DumpModule(
        record[0], record[1], name, code_id, base_name(debug.debug_file), debug.debug_id, version
    )


def _name(dump: DumpBytes, record: Record) -> str:
    name = dump.text(record[4])
    if name is None:
        dump.warn(f"cannot read the name of the module at {record[0]:#x}; it has none")
    return name or ""


def _pe_code_id(record: Record) -> str:
    """Return the code id of a PE file: time stamp and size of the image."""
    return f"{record[3]:08x}{record[1]:x}"


def _version(record: Record, os: str) -> str | None:
    signature, structure, *words = record[5:11]
    if (signature, structure) != _VERSION_INFO:
        return None
    if os in _WITH_HALF_WORDS:
        words = [half for word in words[:2] for half in (word >> 16, word & 0xFFFF)]
    return ".".join(map(str, words))


def _debug_record(dump: DumpBytes, record: Record, os: str, name: str) -> DebugRecord:
    """Return the content of a CodeView record, whose first bytes are its kind."""
    size, rva = record[11:13]
    if not size:
        return _NO_RECORD._replace(code_id=None) if os == "Windows NT" else _NO_RECORD
    content = dump.data[rva : rva + size]
    kind = bytes(content[:4])
    if len(content) < size:
        found = None
    elif kind == b"RSDS":
        found = _pdb70(dump, content, os)
    elif kind == b"NB10":
        found = _pdb20(dump, content)
    elif kind == b"LEpB":
        build_id = bytes(content[4 : 5 + MAX_BUILD_ID_BYTES])
        found = identify_elf(build_id, name) if len(build_id) <= MAX_BUILD_ID_BYTES else None
    else:
        found = _NO_RECORD
    if found is None:
        dump.warn(f"cannot read the debug record of the module at {record[0]:#x}; it has no ids")
    return found or _NO_RECORD


def _pdb70(dump: DumpBytes, content: memoryview, os: str) -> DebugRecord | None:
    if len(content) < _PDB70.size:
        return None
    _, guid, age = _PDB70.unpack_from(content)
    digits = guid_digits(guid)
    debug_id = f"{digits}{age:x}".upper() if any(guid) else ""
    # A Mach-O file's UUID is both of its ids.
    return DebugRecord(_file(dump, content[_PDB70.size :]), debug_id, digits if os in _APPLE else None)


def _pdb20(dump: DumpBytes, content: memoryview) -> DebugRecord | None:
    if len(content) < _PDB20.size:
        return None
    _, _, time_stamp, age = _PDB20.unpack_from(content)
    return DebugRecord(_file(dump, content[_PDB20.size :]), f"{time_stamp:08X}{age:X}", None)


def _file(dump: DumpBytes, content: memoryview) -> str:
    """Return the name that ends with a zero byte, or with the record."""
    name = bytes(content[: 1 << 15]).partition(b"\0")[0]
    return str(name, "utf-8", "replace") if dump.spend_text(len(name)) else ""

"""PE: Windows executables and libraries, from MSVC, clang and MinGW.

Sources: Microsoft, "PE Format"; LLVM, "The PDB Info Stream" for the CodeView record; Microsoft, "PE/COFF
extensions of Portable PDBs" (dotnet/runtime, docs/design/specs/PE-COFF.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PureWindowsPath
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.reader import FileReader, text_at
from tecken.symbols.layouts import NATIVE_TYPES

MAGIC: Final = b"MZ"
MACHINES: Final[Mapping[int, str]] = {
    **{0x14C: "x86", 0x8664: "x86_64", 0xAA64: "arm64", 0x1C0: "arm", 0x1C4: "arm"},
    **{0xA641: "arm64ec", 0xA64E: "arm64x"},
}
MAX_SECTIONS: Final = 96
MAX_DEBUG_ENTRIES: Final = 64
MAX_RECORD_BYTES: Final = 4096

_SIGNATURE_OFFSET: Final = Struct("<60xI")
_FILE_HEADER: Final = Struct("<4sHHIIIHH")
_SECTION: Final = Struct("<8sIIII16x")
_DEBUG_ENTRY: Final = Struct("<IIHHIIII")
_DIRECTORY: Final = Struct("<II")
_CODEVIEW: Final = Struct("<4s16sI")
_PE32_PLUS: Final = b"\x0b\x02"
_DEBUG_DIRECTORY: Final = 6
_CODEVIEW_TYPE: Final = 2
# Minor version of a CodeView entry whose PDB is a Portable PDB.
_PORTABLE: Final = 0x504D
_SYMBOL_BYTES: Final = 18
_IMAGE_SIZE_OFFSET: Final = 56


class PeSection(NamedTuple):
    """Section: its address in memory and its place in the file, in bytes."""

    name: str
    address: int
    size: int
    offset: int
    file_size: int


class CodeView(NamedTuple):
    """Debug file that belongs to an executable."""

    debug_id: str
    debug_file: str


class PeFile:
    """Headers and sections of one file. Its methods raise Malformed."""

    def __init__(self, file: FileReader) -> None:
        self._file = file
        (start,) = file.fields(_SIGNATURE_OFFSET, 0)
        header = file.fields(_FILE_HEADER, start)
        signature, self.machine, count, self.timestamp, symbols, symbol_count, optional_size, _ = header
        if signature != b"PE\0\0":
            raise Malformed("an MZ program without a PE header")
        optional = start + _FILE_HEADER.size
        self._optional = file.read(optional, optional_size)
        self.has_symbols = bool(symbols and symbol_count)
        self._names_offset = symbols + symbol_count * _SYMBOL_BYTES if symbols else 0
        self._rows = file.rows(_SECTION, optional + optional_size, min(count, MAX_SECTIONS))

    @cached_property
    def sections(self) -> dict[str, PeSection]:
        """Sections by name."""
        found = [
            PeSection(self._section_name(name), address, max(size, file_size), offset, file_size)
            for name, size, address, file_size, offset in self._rows
        ]
        return {section.name: section for section in reversed(found)}

    @property
    def code_id(self) -> str:
        """Time stamp (8 digits, upper case) and size of the image (lower case), as in symbol stores."""
        if len(self._optional) < _IMAGE_SIZE_OFFSET + 4:
            return ""
        image_size = int.from_bytes(self._optional[_IMAGE_SIZE_OFFSET : _IMAGE_SIZE_OFFSET + 4], "little")
        return f"{self.timestamp:08X}{image_size:x}"

    def codeview(self) -> CodeView | None:
        """Return the debug file that the linker named; None without one."""
        return next(self._debug_entries(), None) or self._mingw_record()

    def _debug_entries(self) -> Iterator[CodeView]:
        place = (112 if self._optional[:2] == _PE32_PLUS else 96) + _DEBUG_DIRECTORY * _DIRECTORY.size
        if len(self._optional) < place + _DIRECTORY.size:
            return
        address, size = _DIRECTORY.unpack_from(self._optional, place)
        offset = self._offset_of(address) if address else None
        if offset is None:
            return
        for entry in self._file.rows(_DEBUG_ENTRY, offset, min(size // _DEBUG_ENTRY.size, MAX_DEBUG_ENTRIES)):
            _, timestamp, _, minor, entry_type, record_size, _, record = entry
            if entry_type == _CODEVIEW_TYPE:
                content = self._file.read_most(record, min(record_size, MAX_RECORD_BYTES))
                # The age of a Portable PDB is 1 here, and its id has the time stamp of the entry instead.
                if found := parse_codeview(content, timestamp if minor == _PORTABLE else None):
                    yield found

    def _mingw_record(self) -> CodeView | None:
        """Return the record in the section `.buildid`, to which no debug directory of MinGW's ld points."""
        section = self.sections.get(".buildid")
        if section is None:
            return None
        content = self._file.read_most(section.offset, min(section.file_size, MAX_RECORD_BYTES))
        start = content.find(b"RSDS")
        return parse_codeview(content[start:], None) if start >= 0 else None

    def _offset_of(self, address: int) -> int | None:
        """Return the offset in the file of an address in memory."""
        for section in self.sections.values():
            if section.address <= address < section.address + section.size:
                return section.offset + address - section.address
        return None

    def _section_name(self, raw: bytes) -> str:
        """Return a section's name; `/123` is one of more than 8 bytes, in the table of strings."""
        name = raw.rstrip(b"\0")
        digits = name[1:]
        if not name.startswith(b"/") or not digits.isdigit() or not self._names_offset:
            return name.decode(errors="replace")
        return text_at(self._file.read_most(self._names_offset + int(digits), 64), 0)


class Pe:
    """Format of PE files."""

    name = "pe"
    file_types = NATIVE_TYPES
    identity = "CodeView record"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the file's headers."""
        # Programs for DOS have the same first bytes.
        if not file.head.startswith(MAGIC) or len(file.head) < _SIGNATURE_OFFSET.size:
            return ()
        pe = PeFile(file)
        codeview = pe.codeview() or CodeView("", "")
        has_dwarf = ".debug_info" in pe.sections
        return (
            ObjectInfo(
                Kind.DEBUG if has_dwarf else Kind.EXECUTABLE,
                self.name,
                MACHINES.get(pe.machine, f"machine {pe.machine:#x}"),
                codeview.debug_file,
                codeview.debug_id,
                code_id=pe.code_id,
                has_code=True,
                has_unwinding=True,
            ),
        )

    def usability_check(self) -> None:
        """Return None: an engine finds later whether its symbols can be used."""


def parse_codeview(content: bytes, age: int | None) -> CodeView | None:
    """Return the debug file of a CodeView record of PDB 7.0; None for any other record."""
    if len(content) < _CODEVIEW.size:
        return None
    signature, guid, own_age = _CODEVIEW.unpack_from(content)
    if signature != b"RSDS":
        return None
    name = PureWindowsPath(text_at(content, _CODEVIEW.size)).name
    return CodeView(debug_id_of(guid, own_age if age is None else age), name)

"""ELF: executables, shared objects, kernel modules, and the debug files that are split from them.

Sources: System V ABI, gabi 4.3, chapters 4 and 5; GNU binutils, "Separate Debug Files"; Breakpad,
src/common/linux/file_id.cc for the debug id; the dwz manual page for common files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.reader import FileReader, text_at
from tecken.symbols.layouts import NATIVE_TYPES

MAGIC: Final = b"\x7fELF"
MACHINES: Final = {
    **{2: "sparc", 3: "x86", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64"},
    **{183: "arm64", 243: "riscv", 258: "loongarch64"},
}
BUILD_ID_NAME: Final = b"GNU\0"
BUILD_ID_TYPE: Final = 3
MAX_BUILD_ID: Final = 64
MAX_NOTES_BYTES: Final = 1 << 20
MAX_NAMES_BYTES: Final = 4 << 20
MAX_LINK_BYTES: Final = 4096 + MAX_BUILD_ID
HASHED_CODE_BYTES: Final = 4096

# Values of the fields e_ident, e_shnum, e_phnum, sh_type, e_type and p_type.
_IS_64, _IS_LITTLE = 2, 1
_EXTENDED: Final = 0xFFFF
_CODE, _STRINGS, _NOTES, _WITHOUT_BYTES = 1, 3, 7, 8
_OBJECT_FILE: Final = 1
_NOTE_SEGMENT: Final = 4


class ElfSection(NamedTuple):
    """Header of a section. Offset, size and alignment are in bytes."""

    type: int
    offset: int
    size: int
    alignment: int


class ElfHeader(NamedTuple):
    """Type of the file, places of the two tables, and the number and size of their rows."""

    type: int
    machine: int
    segments_offset: int
    sections_offset: int
    segment_size: int
    segment_count: int
    section_size: int
    section_count: int
    names_index: int


class ElfFile:
    """Sections and notes of one file. Properties raise Malformed."""

    def __init__(self, file: FileReader) -> None:
        self._file = file
        ident = file.read(0, 16)
        self._is_64 = ident[4] == _IS_64
        self._order = "<" if ident[5] == _IS_LITTLE else ">"

    @property
    def is_little_endian(self) -> bool:
        """Return whether the least significant byte of a number is its first."""
        return self._order == "<"

    @cached_property
    def header(self) -> ElfHeader:
        """ElfHeader of the file."""
        layout = "HH4xQQQ4xHHHHHH" if self._is_64 else "HH4xIII4xHHHHHH"
        fields = self._file.fields(Struct(self._order + layout), 16)
        return ElfHeader(*fields[:2], *fields[3:5], *fields[6:])

    @cached_property
    def sections(self) -> dict[str, ElfSection]:
        """Sections by name; of several with one name the first."""
        rows = self._section_rows
        names = self._names(rows)
        found: dict[str, ElfSection] = {}
        for row in rows:
            found.setdefault(text_at(names, row[0]), ElfSection(row[1], row[4], row[5], row[8]))
        return found

    def content(self, name: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a section; none for one that is absent or has no bytes here."""
        section = self.sections.get(name)
        if section is None or section.type == _WITHOUT_BYTES:
            return b""
        return self._file.read(section.offset, min(section.size, limit))

    def has(self, *names: str) -> bool:
        """Return whether the file has the bytes of one of the sections."""
        sections = map(self.sections.get, names)
        return any(section and section.type != _WITHOUT_BYTES and section.size for section in sections)

    @cached_property
    def build_id(self) -> bytes:
        """Build id of the first GNU note; empty without one."""
        return next((note for notes in self._notes() if (note := self._find_build_id(*notes))), b"")

    @property
    def common_id(self) -> bytes:
        """Build id of the common file of dwz: what follows the name in its link; empty without a link."""
        return self.content(".gnu_debugaltlink", MAX_LINK_BYTES).partition(b"\0")[2][:MAX_BUILD_ID]

    @cached_property
    def _section_rows(self) -> list[tuple[int, ...]]:
        header, layout = self.header, Struct(self._order + ("IIQQQQIIQQ" if self._is_64 else "10I"))
        if not header.sections_offset:
            return []
        if header.section_size != layout.size:
            raise Malformed(f"the section headers have {header.section_size} bytes instead of {layout.size}")
        # A file with many sections has their number in the first one.
        count = header.section_count or self._file.fields(layout, header.sections_offset)[5]
        return self._file.rows(layout, header.sections_offset, count)

    def _names(self, rows: list[tuple[int, ...]]) -> bytes:
        index = self.header.names_index
        if rows and index == _EXTENDED:
            index = rows[0][6]
        if index >= len(rows) or rows[index][1] != _STRINGS:
            return b""
        return self._file.read(rows[index][4], min(rows[index][5], MAX_NAMES_BYTES))

    def _notes(self) -> Iterator[tuple[bytes, int]]:
        """Yield the content and the alignment of each part with notes."""
        # Kernels have notes of other owners in a segment, and the build id in a section alone.
        sections = [(row[4], row[5], row[8]) for row in self._section_rows if row[1] == _NOTES]
        for offset, size, alignment in [*sections, *self._note_segments()]:
            with suppress(Malformed):
                yield self._file.read(offset, min(size, MAX_NOTES_BYTES)), alignment

    def _note_segments(self) -> Iterator[tuple[int, int, int]]:
        header, layout = self.header, Struct(self._order + ("IIQQQQQQ" if self._is_64 else "8I"))
        if not header.segments_offset or header.segment_size != layout.size:
            return
        for row in self._file.rows(layout, header.segments_offset, header.segment_count):
            if row[0] == _NOTE_SEGMENT:
                yield (row[2], row[5], row[7]) if self._is_64 else (row[1], row[4], row[7])

    def _find_build_id(self, notes: bytes, alignment: int) -> bytes:
        layout, step = Struct(self._order + "III"), 8 if alignment == 8 else 4
        position = 0
        while position + layout.size <= len(notes):
            name_size, size, note_type = layout.unpack_from(notes, position)
            name = position + layout.size
            content = _align(name + name_size, step)
            if note_type == BUILD_ID_TYPE and notes[name : name + name_size] == BUILD_ID_NAME:
                return notes[content : content + min(size, MAX_BUILD_ID)]
            position = _align(content + size, step)
        return b""


class Elf:
    """Format of ELF files."""

    name = "elf"
    file_types = NATIVE_TYPES
    identity = "build id"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the file's build id, or of its code if it has no build id.

        The debug id is that of Breakpad: the first 16 bytes of the build id as a GUID. Without a build id
        it is the XOR of the first 4,096 bytes of code, so only the executable itself has it.
        """
        if not file.head.startswith(MAGIC):
            return ()
        elf = ElfFile(file)
        build_id = elf.build_id.hex()
        return (
            ObjectInfo(
                kind_of(elf),
                self.name,
                MACHINES.get(elf.header.machine, f"machine {elf.header.machine}"),
                debug_file="",
                debug_id=debug_id_of(elf.build_id or hash_code(elf), is_little_endian=elf.is_little_endian),
                code_id=build_id,
                build_id=build_id,
                common_id=elf.common_id.hex(),
                has_code=elf.has(".text"),
                has_unwinding=elf.has(".eh_frame", ".debug_frame", ".zdebug_frame"),
            ),
        )

    def usability_check(self) -> None:
        """Return None: an engine finds later whether its symbols can be used."""


def kind_of(elf: ElfFile) -> Kind:
    """Return the most useful information in a file."""
    if elf.has(".debug_info.dwo"):
        return Kind.COMMON
    # dwz moves the parts that several files share into one that has no segments, not even empty ones. Objects
    # that the linker relocates, such as kernel modules, have none either, but code.
    if not elf.header.segment_count and ".text" not in elf.sections and elf.has(".debug_info", ".debug_str"):
        return Kind.COMMON
    if elf.has(".debug_info", ".zdebug_info"):
        return Kind.DEBUG
    if elf.has(".text"):
        return Kind.EXECUTABLE
    if elf.has(".symtab", ".dynsym"):
        return Kind.SYMBOL_TABLE
    return Kind.EXECUTABLE


def hash_code(elf: ElfFile) -> bytes:
    """Return the XOR of the 16-byte words at the start of `.text`; empty for a file without code.

    An object file that is not linked yet is no module, and has no id.
    """
    section = elf.sections.get(".text")
    if section is None or section.type != _CODE or elf.header.type == _OBJECT_FILE:
        return b""
    code = elf.content(".text", HASHED_CODE_BYTES)
    result = 0
    for start in range(0, len(code), 16):
        result ^= int.from_bytes(code[start : start + 16].ljust(16, b"\0"))
    return result.to_bytes(16) if code else b""


def _align(position: int, step: int) -> int:
    return -(-position // step) * step

"""Mach-O: executables and libraries of Apple systems, the DWARF files of dSYM bundles, and fat files.

Source: Apple, <mach-o/loader.h> and <mach-o/fat.h>.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import NATIVE_TYPES

# First bytes of a file: its byte order, and whether addresses have 64 bits.
_THIN: Final = {
    b"\xfe\xed\xfa\xce": (">", False),
    b"\xce\xfa\xed\xfe": ("<", False),
    b"\xfe\xed\xfa\xcf": (">", True),
    b"\xcf\xfa\xed\xfe": ("<", True),
}
# First bytes of a fat file, and the layout of its table: CPU type, CPU subtype, offset, size.
_FAT: Final = {b"\xca\xfe\xba\xbe": Struct(">IIII4x"), b"\xca\xfe\xba\xbf": Struct(">IIQQ8x")}
_X86, _ARM, _WIDE, _WIDE_ILP32 = 7, 12, 0x1000000, 0x2000000
_CPUS: Final = {
    **{_X86: "x86", _X86 | _WIDE: "x86_64", _ARM: "arm", _ARM | _WIDE: "arm64"},
    **{_ARM | _WIDE_ILP32: "arm64_32", 18: "ppc", 18 | _WIDE: "ppc64"},
}
_SUBTYPES: Final = {("x86_64", 8): "x86_64h", ("arm64", 2): "arm64e"}
_SUBTYPE_MASK: Final = 0xFFFFFF
# A Java class begins like a fat file, and has its version where that has its number of slices.
MAX_SLICES: Final = 30
MAX_COMMANDS: Final = 10_000
_UUID_COMMAND: Final = 0x1B
_SEGMENT_COMMANDS: Final = (0x1, 0x19)
_DWARF_SEGMENT: Final = b"__DWARF"
_DSYM: Final = 10


class MachO:
    """Format of Mach-O files, fat ones included."""

    name = "macho"
    file_types = NATIVE_TYPES
    identity = "UUID"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return one object for each processor."""
        magic = file.head[:4]
        if magic in _THIN:
            return (self._identify_slice(file, 0),)
        layout = _FAT.get(magic)
        if layout is None or len(file.head) < 8:
            return ()
        count = int.from_bytes(file.head[4:8])
        if not 0 < count <= MAX_SLICES:
            return ()
        slices = file.rows(layout, 8, count)
        return tuple(self._identify_slice(file, offset) for _, _, offset, _ in slices)

    def usability_check(self) -> None:
        """Return None: an engine finds later whether its symbols can be used."""

    def _identify_slice(self, file: FileReader, start: int) -> ObjectInfo:
        order, is_64 = _THIN.get(file.read(start, 4), ("", False))
        if not order:
            raise Malformed(f"the fat file has no Mach-O file at offset {start}")
        header = Struct(order + "4x6I4x" if is_64 else order + "4x6I")
        cpu, subtype, file_type, count, size, _ = file.fields(header, start)
        commands = file.read(start + header.size, size)
        uuid, has_dwarf = b"", False
        for command, content in _commands(commands, order, min(count, MAX_COMMANDS)):
            if command == _UUID_COMMAND:
                uuid = content[:16]
            elif command in _SEGMENT_COMMANDS:
                has_dwarf |= content[:16].rstrip(b"\0") == _DWARF_SEGMENT
        return ObjectInfo(
            Kind.DEBUG if has_dwarf else Kind.SYMBOL_TABLE if file_type == _DSYM else Kind.EXECUTABLE,
            self.name,
            arch_of(cpu, subtype),
            debug_file="",
            debug_id=debug_id_of(uuid, is_little_endian=False),
            code_id=uuid.hex(),
            has_code=file_type != _DSYM,
            has_unwinding=file_type != _DSYM,
        )


def arch_of(cpu: int, subtype: int) -> str:
    """Return the name of a processor."""
    arch = _CPUS.get(cpu, f"cpu {cpu:#x}")
    return _SUBTYPES.get((arch, subtype & _SUBTYPE_MASK), arch)


def _commands(content: bytes, order: str, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield the type of each load command, and its content after type and size."""
    header, position = Struct(order + "II"), 0
    for _ in range(count):
        if position + header.size > len(content):
            return
        command, size = header.unpack_from(content, position)
        if size < header.size:
            raise Malformed("a load command has no length")
        yield command, content[position + header.size : position + size]
        position += size

"""CAB files with one file, in which symbol stores keep a file packed: `xul.pdb` as `xul.pd_`.

A CAB file is no format of native files: uploads unpack it (`tecken.storage.cabinets`), and the file in it is
identified like any other.

Source: Microsoft, "Microsoft Cabinet Format".
"""

from __future__ import annotations

from pathlib import PureWindowsPath
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbols.formats.reader import FileReader, text_at

MAGIC: Final = b"MSCF"
# Bytes of one block, unpacked. All blocks but the last one have as many.
BLOCK_BYTES: Final = 32 << 10
MSZIP: Final = "MSZIP"
LZX: Final = "LZX"
PLAIN: Final = "no compression"
METHODS: Final = (PLAIN, MSZIP, "Quantum", LZX)
READABLE: Final = (PLAIN, MSZIP, LZX)

_HEADER: Final = Struct("<4s12xI6xHHHHH")
_RESERVED: Final = Struct("<HBB")
_FOLDER: Final = Struct("<IHH")
_FILE: Final = Struct("<IIH6x")
_IS_PART: Final = 3
_HAS_RESERVED: Final = 4
_METHOD_BITS: Final = 0xF
_MAX_NAME_BYTES: Final = 256


class Cabinet(NamedTuple):
    """The only file of a CAB file: name, unpacked bytes, method, and the place and number of its blocks."""

    name: str
    size: int
    method: str
    offset: int
    blocks: int
    block_reserve: int
    """Bytes between the header of a block and its content."""


def read_cabinet(file: FileReader) -> Cabinet | None:
    """Return what the headers of a CAB file say; None for any other file.

    Raises Malformed for one that is cut, or does not have exactly one file, or has an unknown method.
    """
    if not file.head.startswith(MAGIC):
        return None
    _, files_offset, folders, files, flags, _, _ = file.fields(_HEADER, 0)
    if flags & _IS_PART:
        raise Malformed("the CAB file is part of a set, and the other parts are not there")
    if (folders, files) != (1, 1):
        raise Malformed(f"the CAB file has {files} files in {folders} folders, and not one")
    position, block_reserve = _HEADER.size, 0
    if flags & _HAS_RESERVED:
        header_reserve, _, block_reserve = file.fields(_RESERVED, position)
        position += _RESERVED.size + header_reserve
    offset, blocks, method = file.fields(_FOLDER, position)
    size, start, folder = file.fields(_FILE, files_offset)
    name = PureWindowsPath(text_at(file.read_most(files_offset + _FILE.size, _MAX_NAME_BYTES), 0)).name
    if start or folder or not name or size > blocks * BLOCK_BYTES:
        raise Malformed("the headers of the CAB file contradict each other")
    return Cabinet(name, size, _method_name(method & _METHOD_BITS), offset, blocks, block_reserve)


def _method_name(number: int) -> str:
    name = METHODS[number] if number < len(METHODS) else f"method {number}"
    if name not in READABLE:
        raise Malformed(f"the CAB file is packed with {name}, which is not supported: use MSZIP or LZX")
    return name


def unpacked_name(packed_name: str, cabinet: Cabinet) -> str:
    """Return the name of the file in a CAB file: `xul.pdb` for `xul.pd_`.

    In a symbol store the packed name counts, since programs that write CAB files also write temporary names.
    """
    return packed_name[:-1] + cabinet.name[-1] if packed_name.endswith("_") else cabinet.name


def packed_name(cabinet: Cabinet) -> str:
    """Return the name that symbol stores give to a CAB file with this file."""
    return f"{cabinet.name[:-1]}_"

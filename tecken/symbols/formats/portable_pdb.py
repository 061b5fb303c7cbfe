"""Portable PDB: the debug files of .NET programs.

Source: dotnet/runtime, docs/design/specs/PortablePdb-Metadata.md; ECMA-335, II.24.2.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.reader import FileReader, text_at
from tecken.symbols.layouts import NATIVE_TYPES

MAGIC: Final = b"BSJB"
MAX_VERSION_BYTES: Final = 255
MAX_NAME_BYTES: Final = 32
ID_STREAM: Final = "#Pdb"

_ROOT: Final = Struct("<4sHHII")
_STREAMS: Final = Struct("<HH")
_STREAM: Final = Struct("<II")
_ID: Final = Struct("<16sI")


class PortablePdb:
    """Format of Portable PDB files."""

    name = "portable pdb"
    file_types = NATIVE_TYPES
    identity = "#Pdb stream"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the `#Pdb` stream: a GUID, and a time stamp in place of the age."""
        if not file.head.startswith(MAGIC):
            return ()
        guid, timestamp = file.fields(_ID, _find_stream(file, ID_STREAM))
        debug_id = debug_id_of(guid, timestamp)
        return (ObjectInfo(Kind.DEBUG, self.name, "any", debug_file="", debug_id=debug_id),)

    def usability_check(self) -> None:
        """Return None: frames of .NET programs have methods and not addresses."""


def _find_stream(file: FileReader, name: str) -> int:
    """Return the offset of a stream. Raises Malformed."""
    *_, version_size = file.fields(_ROOT, 0)
    if version_size > MAX_VERSION_BYTES:
        raise Malformed(f"the version of the metadata has {version_size} bytes")
    position = _ROOT.size + version_size
    _, count = file.fields(_STREAMS, position)
    position += _STREAMS.size
    for _ in range(min(count, 16)):
        offset, _size = file.fields(_STREAM, position)
        stream = text_at(file.read_most(position + _STREAM.size, MAX_NAME_BYTES), 0)
        if stream == name:
            return int(offset)
        # Names are filled with zeros up to a multiple of 4 bytes.
        position += _STREAM.size + (len(stream.encode()) // 4 + 1) * 4
    raise Malformed(f"the metadata has no stream {name}")

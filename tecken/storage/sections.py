"""Sections of stored ELF files, found without reading the whole file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, NamedTuple

from tecken.errors import Malformed, NotFound
from tecken.storage.port import OwnFiles
from tecken.symbols.formats.elf import ElfFile
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import FileKey

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Section headers and their names are usually side by side, so one read of this size has both.
BUFFER_BYTES: Final = 64 << 10


class SectionSpan(NamedTuple):
    """Place of a section in its file, in bytes."""

    offset: int
    size: int


def find_section(files: OwnFiles, key: FileKey, size: int, name: str) -> SectionSpan:
    """Return where a section is in a stored file of `size` bytes.

    Raises NotFound for a section that the file does not have, or whose bytes it does not have, and what
    `OwnFiles.read` raises.
    """
    with io.BufferedReader(_StoredFile(files, key, size), BUFFER_BYTES) as file:
        try:
            elf = ElfFile(FileReader(file, size))
            if elf.has(name):
                section = elf.sections[name]
                if section.offset + section.size <= size:
                    return SectionSpan(section.offset, section.size)
        except Malformed as error:
            raise NotFound(f"the sections of {key} cannot be read: {error}") from error
    raise NotFound(f"{key} has no section {name}")


class _StoredFile(io.RawIOBase):
    """A stored file that fetches only the bytes that are read."""

    def __init__(self, files: OwnFiles, key: FileKey, size: int) -> None:
        super().__init__()
        self._files = files
        self._key = key
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        with self._files.read(self._key, self._position, end) as chunks:
            content = b"".join(chunks)
        view[: len(content)] = content
        self._position += len(content)
        return len(content)

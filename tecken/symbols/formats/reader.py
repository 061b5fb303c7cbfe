"""Bounded reads at any place of a file whose content is not trusted."""

from __future__ import annotations

from functools import cached_property
from struct import Struct
from typing import Any, BinaryIO, Final

from tecken.errors import Malformed

HEAD_BYTES: Final = 16 << 10
"""Bytes from the start of a file that most formats need to identify it."""

MAX_READ_BYTES: Final = 8 << 20
"""Most bytes of one table of a file: 131,072 section headers of an ELF file."""

MAX_READS: Final = 20_000
MAX_TOTAL_BYTES: Final = 32 << 20
"""Together they bound the time for which one file is identified."""


class FileReader:
    """Reader of a file of `size` bytes, which may claim any offset and any length in its own tables.

    Every method raises Malformed for bytes outside of the file, and when the file needs more reads or bytes
    than the constants of this module allow. Offsets and sizes are in bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._reads = 0
        self._total = 0
        self.size = size

    @cached_property
    def head(self) -> bytes:
        """First HEAD_BYTES of the file, or the whole of a shorter one."""
        return self.read(0, min(self.size, HEAD_BYTES))

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise Malformed(f"the file ends before {size} bytes at offset {offset}")
        self._reads += 1
        self._total += size
        if size > MAX_READ_BYTES or self._total > MAX_TOTAL_BYTES or self._reads > MAX_READS:
            raise Malformed("the file's tables are too large")
        self._file.seek(offset)
        content = self._file.read(size)
        if len(content) != size:
            raise Malformed(f"the file ends before {size} bytes at offset {offset}")
        return content

    def fields(self, layout: Struct, offset: int) -> tuple[Any, ...]:
        """Return the fields of a structure."""
        return layout.unpack(self.read(offset, layout.size))

    def rows(self, layout: Struct, offset: int, count: int) -> list[tuple[Any, ...]]:
        """Return the rows of a table."""
        return list(layout.iter_unpack(self.read(offset, layout.size * count)))

    def read_most(self, offset: int, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the file."""
        return self.read(offset, max(0, min(size, self.size - offset)))


def text_at(content: bytes, offset: int) -> str:
    """Return the zero-terminated text at an offset; bytes that are no UTF-8 become U+FFFD."""
    end = content.find(b"\0", offset)
    return content[offset : end if end >= 0 else len(content)].decode(errors="replace")

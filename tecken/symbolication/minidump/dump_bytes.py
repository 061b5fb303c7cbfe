"""Bytes of a minidump, read with every offset and count checked.

A minidump comes from a stranger: each offset can point past the end, each count can be huge, and structures
can overlap, so that small files can describe large results. Nothing here copies memory of the dump; texts are
decoded at most up to a bound for the whole dump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, Final, TypeVar

from tecken.errors import Malformed
from tecken.symbolication.minidump.signature import MINIDUMP, NOT_A_DUMP

MAX_STREAMS: Final = 4096
MAX_TEXT_BYTES: Final = 64 << 10
# All texts of a dump together. A dump of Firefox has 200 KiB of them. A hostile one can refer to the same
# 64 KiB from each of its modules, threads and annotations.
MAX_ALL_TEXT_BYTES: Final = 8 << 20

_HEADER: Final = Struct("<4sIIIIIQ")
_ENTRY: Final = Struct("<III")
_COUNT: Final = Struct("<I")
_LIST_HEADER: Final = Struct("<III")
_VERSION: Final = 0xA793
Record = tuple[Any, ...]
_Result = TypeVar("_Result")


class DumpBytes:
    """Minidump's bytes, its directory of streams, and the warnings about parts that cannot be read."""

    def __init__(self, data: memoryview) -> None:
        """Read the header and the directory. Raises Malformed."""
        self.data = data.cast("B")
        self.warnings: list[str] = []
        self._text_bytes = 0
        count, directory, self.time_stamp = self._header()
        if count > MAX_STREAMS:
            raise Malformed(f"minidump has {count} streams; at most {MAX_STREAMS} are read")
        # A later stream of the same type replaces an earlier one, as in rust-minidump.
        entries = self.part(_ENTRY.size * count, directory, "the directory")
        self._streams = {kind: (size, rva) for kind, size, rva in _ENTRY.iter_unpack(entries)}

    def _header(self) -> tuple[int, int, int]:
        """Return the number of streams, the offset of the directory, and when the dump was written."""
        magic = bytes(self.data[:4])
        if magic == b"PMDM":
            raise Malformed("minidump is big-endian; only little-endian minidumps are supported")
        if magic != MINIDUMP:
            raise Malformed(NOT_A_DUMP)
        if len(self.data) < _HEADER.size:
            raise Malformed("file is too short for a minidump")
        _, version, count, directory, _, time_stamp, _ = _HEADER.unpack_from(self.data)
        if version & 0xFFFF != _VERSION:
            raise Malformed(
                f"minidump has the version {version & 0xFFFF:#x}; only {_VERSION:#x} is supported"
            )
        return count, directory, time_stamp

    def part(self, size: int, rva: int, title: str = "a part") -> memoryview:
        """Return bytes at an offset. Raises Malformed if the file ends before them."""
        if rva + size > len(self.data):
            place = f"{title} of {size} bytes at offset {rva:#x}"
            raise Malformed(f"{place} is past the end of the file, which is cut short or damaged")
        return self.data[rva : rva + size]

    def part_or_empty(self, size: int, rva: int) -> memoryview:
        """Return bytes at an offset; none if the file ends before them."""
        return self.data[rva : rva + size if rva + size <= len(self.data) else rva]

    def has_stream(self, kind: int) -> bool:
        """Return whether the dump has a stream, which may be past the end of the file."""
        return kind in self._streams

    def stream(self, kind: int) -> memoryview | None:
        """Return the content of a stream; None if the dump does not have it. Raises Malformed."""
        place = self._streams.get(kind)
        return self.part(*place) if place else None

    def require_stream(self, kind: int, title: str) -> memoryview:
        """Return the content of a stream without which there is no report. Raises Malformed."""
        if kind not in self._streams:
            raise Malformed(f"minidump has no {title}")
        return self.part(*self._streams[kind], f"the {title}")

    def read_stream(
        self, kind: int, title: str, read: Callable[[memoryview], _Result], default: _Result
    ) -> _Result:
        """Read a stream that a report can do without. Return the default if it is absent or malformed."""
        try:
            stream = self.stream(kind)
            return default if stream is None else read(stream)
        except Malformed as error:
            self.warn(f"cannot read the {title}: {error}")
            return default

    def read_list(
        self, kind: int, title: str, layout: Struct, limit: int, *, is_wide: bool = False
    ) -> list[Record]:
        """Return the records of a stream that is one list; none if it is absent or malformed."""
        read = self.wide_records if is_wide else self.records
        empty: list[Record] = []
        return self.read_stream(kind, title, lambda part: list(read(part, layout, title, limit)), empty)

    def warn(self, text: str) -> None:
        """Keep a warning about a part that is not used."""
        if len(self.warnings) < 100:
            self.warnings.append(text)

    def text(self, rva: int) -> str | None:
        """Return a string in UTF-16; None if it cannot be read."""
        content = self._counted(rva)
        if content is None or len(content) % 2:
            return None
        try:
            return str(content, "utf-16-le")
        except UnicodeDecodeError:
            return None

    def utf8(self, rva: int) -> str | None:
        """Return a string in UTF-8; None if it cannot be read."""
        content = self._counted(rva)
        try:
            return None if content is None else str(content, "utf-8")
        except UnicodeDecodeError:
            return None

    def spend_text(self, size: int) -> bool:
        """Count bytes of text. Return whether they may be decoded."""
        if size > MAX_TEXT_BYTES:
            return False
        self._text_bytes += size
        return self._text_bytes <= MAX_ALL_TEXT_BYTES

    def _counted(self, rva: int) -> memoryview | None:
        """Return the bytes after a length of four bytes."""
        if rva + 4 > len(self.data):
            return None
        (size,) = _COUNT.unpack_from(self.data, rva)
        if rva + 4 + size > len(self.data) or not self.spend_text(size):
            return None
        return self.data[rva + 4 : rva + 4 + size]

    def records(self, stream: memoryview, layout: Struct, title: str, limit: int) -> Iterator[Record]:
        """Return the records of a list, which begins with their number. Raises Malformed."""
        count = unpack(_COUNT, stream)[0]
        size = count * layout.size
        # Some writers align the records to eight bytes.
        start = 8 if len(stream) - size == 8 else 4
        if start + size > len(stream):
            raise Malformed(f"a list of {count} is longer than its {len(stream)} bytes")
        if start + size < len(stream):
            self.warn(f"the list of {title} has {count}, and {len(stream) - start - size} bytes follow it")
        return layout.iter_unpack(stream[start : start + layout.size * self._kept(count, title, limit)])

    def wide_records(self, stream: memoryview, layout: Struct, title: str, limit: int) -> Iterator[Record]:
        """Return the records of a list with the sizes of its header and entries. Raises Malformed."""
        start, step, count = unpack(_LIST_HEADER, stream)
        if start < _LIST_HEADER.size or step < layout.size:
            raise Malformed(f"a list has a header of {start} and entries of {step} bytes")
        if start + step * count > len(stream):
            raise Malformed(f"a list of {count} is longer than its {len(stream)} bytes")
        kept = self._kept(count, title, limit)
        return (layout.unpack_from(stream, start + step * number) for number in range(kept))

    def _kept(self, count: int, title: str, limit: int) -> int:
        if count > limit:
            self.warn(f"minidump has {count} {title}; the first {limit} are read")
        return min(count, limit)


def unpack(layout: Struct, content: memoryview, offset: int = 0) -> Record:
    """Return the values of a structure. Raises Malformed if the bytes end before it does."""
    if offset + layout.size > len(content):
        raise Malformed(f"a structure of {layout.size} bytes at {offset} is cut after {len(content)} bytes")
    return layout.unpack_from(content, offset)

"""Writer of the text of a symbol file from the tables of `symbolic`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, Final

from tecken.dump.names import strip_part
from tecken.dump.symcache import NONE, CachedFunction, SymCache

MAX_NAME_BYTES: Final = 8 << 10
"""Bytes of a name or a path, as in the page format (`tecken.symbols.pagefile.bounds`)."""

OMITTED: Final = b"<name omitted>"
# Number of a file without a FILE record, for lines that are in no file.
NO_FILE: Final = 0
_CONTROL: Final = bytes(32 if byte < 32 or byte == 127 else byte for byte in range(256))


class NumberedTexts:
    """Texts that records refer to by number. Each has one record, before the first that needs it."""

    def __init__(self, out: BinaryIO, kind: bytes, text_of: Callable[[int], bytes]) -> None:
        self._out = out
        self._kind = kind
        self._text_of = text_of
        self._numbers: dict[int, int] = {NONE: NO_FILE}

    def number(self, key: int) -> int:
        """Return the number of a text, and write its record if it has none yet."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._numbers)
            self._out.write(b"%b %d %b\n" % (self._kind, found, clean(self._text_of(key))))
        return found


class SymbolWriter:
    """Writer of FUNC, INLINE, line and PUBLIC records. Offsets count from `base`."""

    def __init__(self, out: BinaryIO, cache: SymCache, readable: Mapping[bytes, bytes], base: int) -> None:
        self._out = out
        self._cache = cache
        self._readable = readable
        self._base = base
        self._files = NumberedTexts(out, b"FILE", cache.file_path)
        self._origins = NumberedTexts(out, b"INLINE_ORIGIN", self._name)
        self.offsets: set[int] = set()
        """Offsets of the functions that were written."""

    def write(self, functions: Iterable[CachedFunction]) -> None:
        """Write functions in their order, and those without debug information after them."""
        publics = [function for function in functions if not self._write_function(function)]
        for function in publics:
            self.write_public(function.start, self._name(function.number))

    def write_public(self, start: int, name: bytes) -> None:
        """Write a symbol without lines, unless its offset has one already."""
        offset = start - self._base
        if offset >= 0 and offset not in self.offsets:
            self.offsets.add(offset)
            self._out.write(b"PUBLIC %x 0 %b\n" % (offset, clean(name)))

    def _write_function(self, function: CachedFunction) -> bool:
        """Write a function with lines. Return False for a symbol of the symbol table."""
        if not self._cache.has_debug_information(function.number):
            return False
        offset = function.start - self._base
        if offset < 0:
            return True
        # The records that these refer to are written first.
        records = [*self._calls(function), *self._lines(function)]
        size, name = function.end - function.start, clean(strip_part(self._name(function.number)))
        self._out.write(b"FUNC %x %x 0 %b\n" % (offset, size, name) + b"".join(records))
        self.offsets.add(offset)
        return True

    def _calls(self, function: CachedFunction) -> Iterator[bytes]:
        for call, parts in function.calls.items():
            file, origin = self._files.number(call.file), self._origins.number(call.function)
            places = b"".join(b" %x %x" % (start - self._base, end - start) for start, end in parts)
            yield b"INLINE %d %d %d %d%b\n" % (call.depth, call.line, file, origin, places)

    def _lines(self, function: CachedFunction) -> Iterator[bytes]:
        base = self._base
        for start, end, file, line in function.lines:
            yield b"%x %x %d %d\n" % (start - base, end - start, line, self._files.number(file))

    def _name(self, number: int) -> bytes:
        name = self._cache.function_name(number)
        return self._readable.get(name, name)


def clean(text: bytes) -> bytes:
    """Return a text within the bound on names and in one line."""
    text = text.translate(_CONTROL) or OMITTED
    if len(text) <= MAX_NAME_BYTES:
        return text
    end = MAX_NAME_BYTES
    while end and text[end] & 0xC0 == 0x80:
        end -= 1
    return text[:end]

"""Layout of one page: sorted 32-bit keys and the text of each.

A page has the same layout in each section of a page file, all integers little-endian:

    u32 count | u32 first key | u8 key width | u8 length width | key deltas[count - 1] | lengths[count] | text

A key is the one before it plus its delta. Deltas have `key width` bytes each, and lengths `length width`: 1,
2 or 4, the smallest width that all of the page fit in. So numbers take few bytes, and one call decodes all of
them. Whole keys and ends, as in version 2, take 5 % to 9 % of a compressed page file (bench/packing.py).
Keys ascend; equal keys stay in the order of the symbol file. The text of a FUNC block may be packed
(`packed`). Pages of version 2 are:

    u32 count | u32 keys[count] | u32 ends[count] | text
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Final, Literal

from tecken.errors import MalformedPageFile
from tecken.symbols import engine
from tecken.symbols.pagefile.packed import PACKED, expand

# Bytes of a number.
U32 = 4

# Bytes of a Page object and its tables, beside those of the page and eight for each record.
_OBJECT_BYTES = 500

_PREFIX: Final = Struct("<IIBB")
_CODES: Final[dict[int, Literal["B", "H", "I"]]] = {1: "B", 2: "H", 4: "I"}


class Page:
    """Decoded page. It keeps its bytes and copies single texts out of them.

    Texts are not parsed in advance: a process has many pages in its cache, and a lookup needs a few records
    of one. `__slots__` saves a dictionary per page.

    `keys` are module offsets of FUNC and PUBLIC records, numbers of FILE or INLINE_ORIGIN records, or offsets
    of STACK records.
    """

    __slots__ = ("_ends", "_raw", "_start", "keys")

    def __init__(self, raw: bytes, keys: Sequence[int], ends: Sequence[int], start: int) -> None:
        self.keys = keys
        self._ends = ends
        self._raw = raw
        self._start = start

    def text(self, i: int) -> bytes:
        """Return the i-th symbol's text: a whole FUNC block, or one PUBLIC line. Raises MalformedPageFile."""
        record = self.record(i)
        return _expand(record, self.keys[i]) if record.startswith(PACKED) else record

    def record(self, i: int) -> bytes:
        """Return the i-th record as it is kept: a name, STACK records, or a symbol that may be packed."""
        begin = self._start + (self._ends[i - 1] if i else 0)
        return self._raw[begin : self._start + self._ends[i]]

    def is_public(self, i: int) -> bool:
        """Return whether the i-th record is a PUBLIC record."""
        # startswith() with a position copies nothing; `text` would copy a FUNC block of up to 2 MiB.
        return self._raw.startswith(b"PUBLIC", self._start + (self._ends[i - 1] if i else 0))

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return len(self._raw) + 2 * U32 * len(self.keys) + _OBJECT_BYTES


KeptPage = Page | engine.LoadedPage
"""Page in the form in which a process keeps it: decoded, or in the memory of the engine.

The engine reads it without decoding it first, so its cache may pack what was not used lately.
"""


def _expand(record: bytes, address: int) -> bytes:
    # A large block takes milliseconds in Python.
    text = engine.MODULE.expand(record, address) if engine.MODULE else None
    return expand(record, address) if text is None else text


def encode(keys: Sequence[int], texts: Sequence[bytes]) -> bytes:
    """Return the bytes of a page, not compressed. `keys` ascend and have at most 32 bits."""
    deltas = [key - before for before, key in pairwise(keys)]
    lengths = list(map(len, texts))
    key_width, length_width = _width(deltas), _width(lengths)
    prefix = _PREFIX.pack(len(keys), keys[0] if keys else 0, key_width, length_width)
    return b"".join((prefix, words(deltas, key_width), words(lengths, length_width), *texts))


def _width(numbers: Sequence[int]) -> int:
    """Return the smallest width in bytes that all numbers have room in."""
    largest = max(numbers, default=0)
    return 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4


def decode(raw: bytes) -> Page:
    """Return the page in `raw`. Raises MalformedPageFile."""
    if len(raw) < _PREFIX.size:
        raise MalformedPageFile("page is too short")
    count, first, key_width, length_width = _PREFIX.unpack_from(raw)
    if key_width not in _CODES or length_width not in _CODES:
        raise MalformedPageFile(f"page has numbers of {key_width} and {length_width} bytes")
    lengths_at = _PREFIX.size + key_width * max(0, count - 1)
    start = lengths_at + length_width * count
    _check_room(raw, start, count)
    view = memoryview(raw)
    deltas = table(view[_PREFIX.size : lengths_at], key_width)
    try:
        keys = array("I", accumulate(deltas, initial=first) if count else ())
        ends = array("I", accumulate(table(view[lengths_at:start], length_width)))
    except OverflowError:
        raise MalformedPageFile("page has a number of more than 32 bits") from None
    return _page(raw, keys, ends, start)


def decode_version_2(raw: bytes) -> Page:
    """Return the page of a page file of version 2 in `raw`. Raises MalformedPageFile."""
    if len(raw) < U32:
        raise MalformedPageFile("page is too short")
    count = int.from_bytes(raw[:U32], "little")
    start = U32 + 2 * U32 * count
    _check_room(raw, start, count)
    # Read in place.
    numbers = table(memoryview(raw)[U32:start])
    return _page(raw, numbers[:count], numbers[count:], start)


def _check_room(raw: bytes, start: int, count: int) -> None:
    if start > len(raw):
        raise MalformedPageFile(f"page of {len(raw)} bytes cannot hold {count} records")


def _page(raw: bytes, keys: Sequence[int], ends: Sequence[int], start: int) -> Page:
    if (ends[-1] if ends else 0) != len(raw) - start:
        raise MalformedPageFile("page text is not as long as its records say")
    return Page(raw, keys, ends, start)


def words(numbers: Sequence[int], width: int = U32) -> bytes:
    """Return numbers as little-endian integers of `width` bytes."""
    packed = array(_CODES[width], numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def table(raw: memoryview, width: int = U32) -> memoryview[int]:
    """Return little-endian integers in `raw`, without a copy where the host is little-endian."""
    # memoryview reads each item with memcpy, so `raw` may start at any address.
    if sys.byteorder == "little":
        return raw.cast(_CODES[width])
    swapped = array(_CODES[width], raw.tobytes())
    swapped.byteswap()
    return memoryview(swapped)

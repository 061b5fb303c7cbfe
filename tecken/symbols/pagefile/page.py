"""Layout of one page: sorted 32-bit keys and the text of each.

A page has the same layout in each section of a page file, all integers little-endian:

    u32 count | u32 keys[count] | u32 ends[count] | text

`ends[i]` is where the text of `keys[i]` ends, counted from the start of the text. Keys ascend; equal keys
stay in the order of the symbol file.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate

from tecken.errors import MalformedPageFile

# Bytes of a number.
U32 = 4

# Bytes of a Page object and its two memoryviews.
_OBJECT_BYTES = 400

# Bytes of a compressed page apart from its content, with its entry in a cache (measured).
_PACKED_BYTES = 300


class Page:
    """Decoded page. It keeps its bytes and copies single texts out of them.

    Nothing is parsed in advance: a process has many pages in its cache, and a lookup needs a few
    records of one. `__slots__` saves a dictionary per page.

    `keys` are module offsets of FUNC and PUBLIC records, or numbers of FILE or INLINE_ORIGIN records.
    """

    __slots__ = ("_ends", "_raw", "_start", "keys")

    def __init__(self, raw: bytes, keys: Sequence[int], ends: Sequence[int], start: int) -> None:
        self.keys = keys
        self._ends = ends
        self._raw = raw
        self._start = start

    def text(self, i: int) -> bytes:
        """Return the i-th record's text: a whole FUNC block, one PUBLIC line, or one name."""
        begin = self._start + (self._ends[i - 1] if i else 0)
        return self._raw[begin : self._start + self._ends[i]]

    def is_public(self, i: int) -> bool:
        """Return whether the i-th record is a PUBLIC record."""
        # startswith() with a position copies nothing; `text` would copy a FUNC block of up to 2 MiB.
        return self._raw.startswith(b"PUBLIC", self._start + (self._ends[i - 1] if i else 0))

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return len(self._raw) + _OBJECT_BYTES


KeptPage = Page | bytes
"""Page in the form in which a process keeps it: decoded, or bytes of the engine's `Reader.load`.

The engine decompresses a page in a few microseconds, so its form costs little time, and three times as many
pages fit into the memory of a process.
"""


def kept_bytes(page: KeptPage) -> int:
    """Return the bytes of a page held in memory."""
    return len(page) + _PACKED_BYTES if isinstance(page, bytes) else page.size


def encode(keys: Sequence[int], texts: Sequence[bytes]) -> bytes:
    """Return the bytes of a page, not compressed. `keys` ascend and have at most 32 bits."""
    ends = accumulate(map(len, texts))
    return b"".join((words([len(keys)]), words(keys), words(list(ends)), *texts))


def decode(raw: bytes) -> Page:
    """Return the page in `raw`, whose numbers are read in place. Raises MalformedPageFile."""
    if len(raw) < U32:
        raise MalformedPageFile("page is too short")
    count = int.from_bytes(raw[:U32], "little")
    start = U32 + 2 * U32 * count
    if start > len(raw):
        raise MalformedPageFile(f"page of {len(raw)} bytes cannot hold {count} records")
    numbers = table(memoryview(raw)[U32:start])
    keys, ends = numbers[:count], numbers[count:]
    if (ends[-1] if count else 0) != len(raw) - start:
        raise MalformedPageFile("page text is not as long as its records say")
    return Page(raw, keys, ends, start)


def words(numbers: Sequence[int]) -> bytes:
    """Return numbers below 2**32 as little-endian u32."""
    packed = array("I", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def table(raw: memoryview) -> memoryview[int]:
    """Return the little-endian u32 numbers in `raw`, without a copy where the host is little-endian."""
    # memoryview reads each item with memcpy, so `raw` may start at any address.
    if sys.byteorder == "little":
        return raw.cast("I")
    swapped = array("I", raw.tobytes())
    swapped.byteswap()
    return memoryview(swapped)

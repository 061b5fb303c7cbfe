"""One page: sorted 32-bit keys and the text that belongs to each.

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

U32 = 4
_OBJECT_BYTES = 400  # the Page itself and its two memoryviews


class Page:
    """A decoded page. It keeps the bytes it was decoded from and copies only the texts asked for.

    `keys` are module offsets of FUNC and PUBLIC records, or numbers of FILE or INLINE_ORIGIN records.
    """

    __slots__ = ("_ends", "_raw", "_start", "keys")

    def __init__(self, raw: bytes, keys: Sequence[int], ends: Sequence[int], start: int) -> None:
        self.keys = keys
        self._ends = ends
        self._raw = raw
        self._start = start

    def text(self, i: int) -> bytes:
        """The i-th record's text: a whole FUNC block, one PUBLIC line, or one name."""
        begin = self._start + (self._ends[i - 1] if i else 0)
        return self._raw[begin : self._start + self._ends[i]]

    def is_public(self, i: int) -> bool:
        """Return whether the i-th record is a PUBLIC record; reads no more than its first word."""
        return self._raw.startswith(b"PUBLIC", self._start + (self._ends[i - 1] if i else 0))

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return len(self._raw) + _OBJECT_BYTES


def encode(keys: Sequence[int], texts: Sequence[bytes]) -> bytes:
    """One page, not compressed. `keys` ascend and fit 32 bits."""
    ends = accumulate(map(len, texts))
    return b"".join((words([len(keys)]), words(keys), words(list(ends)), *texts))


def decode(raw: bytes) -> Page:
    """Read what `encode` wrote; the keys are read in place. Raises MalformedPageFile."""
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
    """Numbers below 2**32 as little-endian u32."""
    packed = array("I", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def table(raw: memoryview) -> memoryview[int]:
    """Little-endian u32 numbers, in place where the host is little-endian.

    memoryview copies each item out with memcpy, so `raw` may start anywhere: no alignment is needed.
    """
    if sys.byteorder == "little":
        return raw.cast("I")
    swapped = array("I", raw.tobytes())
    swapped.byteswap()
    return memoryview(swapped)

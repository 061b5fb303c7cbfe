"""The page file of one module: a header, then compressed pages one after the other.

All integers are little-endian. `n` is the number of pages; pages are numbered through the whole file, those
of SYMBOLS first, then FILES, then ORIGINS.

    magic 8s | format version u16 | codec u16 | header bytes u32 | pages u32[3] | metadata bytes u32
    | dictionary bytes u32 | generation 8s | first key u32[n] | end u32[n] | metadata (JSON) | dictionary

`end` counts from the end of the header. A header is enough to know which page answers for a key and which
bytes of the page file to ask for.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from functools import cached_property
from itertools import accumulate
from threading import Lock
from typing import BinaryIO, Final, NamedTuple

import orjson
import zstandard

from tecken.errors import MalformedPageFile, TooMuch
from tecken.symbols.pagefile.page import U32, Page, decode, table, words

MAGIC: Final = b"TKNPAGES"

# Version 2 holds symbols within the bounds of `bounds`, and source paths that are cleaned. A page file of
# another version counts as absent and is made again of its symbol file when it is asked for.
FORMAT_VERSION: Final = 2
CODEC_ZSTD: Final = 1

# Conversion makes pages of some 16 KB; one with two FUNCs of the largest size at one address has 4.3 MiB.
MAX_PAGE_BYTES: Final = 8 << 20
_PREFIX: Final = struct.Struct("<8sHHI3III8s")
PREFIX: Final = _PREFIX.size


class Section(IntEnum):
    SYMBOLS = 0
    FILES = 1
    ORIGINS = 2


class Metadata(NamedTuple):
    """What a symbol file says of its module. `sym_bytes` is the text up to the first STACK record.

    `symbols` counts the FUNC and PUBLIC records kept, `dropped` those left out, by reason. `code_file`,
    `code_id` and `generator` are empty when the file does not say.
    """

    debug_file: str
    debug_id: str
    code_file: str
    code_id: str
    os: str
    arch: str
    generator: str
    symbols: int
    sym_bytes: int
    dropped: dict[str, int]


class Header:
    """The immutable header of a page file; its tables are read in place."""

    def __init__(self, raw: bytes, sections: Sequence[int], metadata: int, generation: bytes) -> None:
        self.raw = raw
        self.generation = generation.hex()
        self._bounds = (0, *accumulate(sections))
        pages = self._bounds[-1]
        self._first_keys = table(memoryview(raw)[PREFIX : PREFIX + U32 * pages])
        self._ends = table(memoryview(raw)[PREFIX + U32 * pages : PREFIX + 2 * U32 * pages])
        self._dictionary_at = PREFIX + 2 * U32 * pages + metadata
        self.metadata = _metadata(raw[self._dictionary_at - metadata : self._dictionary_at])
        self._lock = Lock()

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Raises MalformedPageFile when `raw` is not exactly one header of this format version."""
        size = header_bytes(raw)
        if len(raw) != size:
            raise MalformedPageFile(f"header has {len(raw)} bytes and says {size}")
        _, _, _, _, symbols, files, origins, metadata, dictionary, generation = _PREFIX.unpack_from(raw)
        if PREFIX + 2 * U32 * (symbols + files + origins) + metadata + dictionary != size:
            raise MalformedPageFile("header parts do not add up")
        return cls(raw, (symbols, files, origins), metadata, generation)

    @property
    def size(self) -> int:
        """Bytes held in memory, with the decompressor's copy of the dictionary."""
        return 2 * len(self.raw) - self._dictionary_at

    @property
    def page_count(self) -> int:
        return self._bounds[-1]

    def pages(self, section: Section) -> range:
        """The numbers of a section's pages."""
        return range(self._bounds[section], self._bounds[section + 1])

    def page_for(self, section: Section, key: int) -> int | None:
        """The only page that may answer for `key`; None before the section's first key."""
        pages = self.pages(section)
        page = bisect_right(self._first_keys, key, pages.start, pages.stop) - 1
        return page if page in pages else None

    def span(self, page: int) -> tuple[int, int]:
        """The byte range [start, end) of a page in the page file."""
        start = self._ends[page - 1] if page else 0
        return len(self.raw) + start, len(self.raw) + self._ends[page]

    def open(self, page_bytes: bytes) -> Page:
        """Decompress and decode one page. Raises MalformedPageFile."""
        try:
            if not 0 < zstandard.frame_content_size(page_bytes) <= MAX_PAGE_BYTES:
                raise MalformedPageFile("page does not say a likely size")
            with self._lock:  # a zstd context serves one thread at a time
                raw = self._decompressor.decompress(page_bytes)
        except zstandard.ZstdError as error:
            raise MalformedPageFile(f"page cannot be decompressed: {error}") from error
        return decode(raw)

    @cached_property
    def _decompressor(self) -> zstandard.ZstdDecompressor:
        dictionary = self.raw[self._dictionary_at :]
        return zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(dictionary) if dictionary else None)


def _metadata(raw: bytes) -> Metadata:
    try:
        return Metadata(**orjson.loads(raw))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise MalformedPageFile("header metadata is not ours") from error


def header_bytes(prefix: bytes) -> int:
    """Bytes of the whole header, from its first PREFIX bytes. Raises MalformedPageFile."""
    if len(prefix) < PREFIX:
        raise MalformedPageFile("page file is truncated")
    magic, version, codec, size, *_ = _PREFIX.unpack_from(prefix)
    if magic != MAGIC:
        raise MalformedPageFile("not a page file")
    if version != FORMAT_VERSION or codec != CODEC_ZSTD:
        raise MalformedPageFile(f"page file has unknown format version {version} or codec {codec}")
    return int(size)


def decoded_bytes(page_bytes: bytes) -> int:
    """Return how long a compressed page is when it is opened, 0 for what is no page."""
    try:
        return max(0, zstandard.frame_content_size(page_bytes))
    except zstandard.ZstdError:
        return 0


def is_header(raw: bytes) -> bool:
    """Return whether `raw` is as long as the header of this format version that it begins with."""
    with suppress(MalformedPageFile):
        return header_bytes(raw) == len(raw)
    return False


class PageWriter:
    """Writes compressed pages to `out`, section by section, and then knows their header."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0
        self._first_keys = array("I")
        self._ends = array("I")
        self._sections = [0, 0, 0]
        self._hash = hashlib.sha256()

    def add(self, section: Section, first_key: int, page: bytes | memoryview) -> None:
        """Raises TooMuch when the pages would pass 4 GiB."""
        self._written += len(page)
        if self._written >= 1 << 32:
            raise TooMuch("the pages of one module may not pass 4 GiB")
        self._out.write(page)
        self._hash.update(page)
        self._first_keys.append(first_key)
        self._ends.append(self._written)
        self._sections[section] += 1

    def header(self, metadata: Metadata, dictionary: bytes) -> Header:
        said = orjson.dumps(metadata._asdict(), option=orjson.OPT_SORT_KEYS)
        tables = words(self._first_keys) + words(self._ends)
        self._hash.update(tables + said + dictionary)
        generation = self._hash.digest()[:8]
        size = PREFIX + len(tables) + len(said) + len(dictionary)
        sizes = (size, *self._sections, len(said), len(dictionary))
        prefix = _PREFIX.pack(MAGIC, FORMAT_VERSION, CODEC_ZSTD, *sizes, generation)
        return Header.parse(prefix + tables + said + dictionary)

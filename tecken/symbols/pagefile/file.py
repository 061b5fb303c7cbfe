"""The page file of one module: a header, then compressed pages one after the other.

All integers are little-endian. `n` is the number of pages; pages are numbered through the whole file, those
of SYMBOLS first, then FILES, ORIGINS and CFI.

    magic 8s | format version u16 | codec u16 | header bytes u32 | pages u32[3] | metadata bytes u32
    | dictionary bytes u32 | generation 8s | CFI pages u32 | first key u32[n] | end u32[n] | metadata (JSON)
    | dictionary

`end` counts from the end of the header. The header alone shows which page covers a key, and which bytes of
the page file that page is. Version 2 has no CFI pages, and not their number; version 3 has the layout of
version 4.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import IntEnum
from functools import cached_property
from itertools import accumulate
from threading import Lock
from typing import BinaryIO, Final, NamedTuple

import orjson
import zstandard

from tecken.errors import MalformedPageFile, NotFound, TooLarge
from tecken.symbols import engine
from tecken.symbols.pagefile.line_runs import split
from tecken.symbols.pagefile.page import U32, KeptPage, Page, decode, decode_version_2, table, words

MAGIC: Final = b"TKNPAGES"

# Version 2 has symbols within the limits of `bounds` and cleaned source paths; version 3 has packed FUNC
# blocks; version 4 has STACK records of all modules, which version 3 has of native files only, and those that
# reach over others on one page. A page file of an older READABLE version answers requests until it is made
# again from its symbol file; one of any other version counts as absent.
FORMAT_VERSION: Final = 4
READABLE: Final = (2, 3, 4)
_TEXT_VERSION: Final = 2
CODEC_ZSTD: Final = 1

# Conversion makes pages of about 8 KB of text. One with two FUNC blocks of the largest size at one address
# has 4.3 MiB.
MAX_PAGE_BYTES: Final = 8 << 20

OFFSET_END: Final = 2**32
"""First offset that no symbol file can have: page files have keys of 32 bits."""

_PREFIX: Final = struct.Struct("<8sHHI3III8s")
PREFIX: Final = _PREFIX.size


class Section(IntEnum):
    """Kind of pages. The values are the order of the sections in a page file."""

    SYMBOLS = 0
    FILES = 1
    ORIGINS = 2
    CFI = 3


class Metadata(NamedTuple):
    """Facts about a module from its symbol file.

    `sym_bytes` is the length of the text up to the first STACK record. `symbols` is the number of FUNC and
    PUBLIC records in the page file, `dropped` the number of those left out, by reason. `code_file`,
    `code_id` and `generator` are empty where the symbol file does not have them.

    With a `native_id` the page file is that of native files with this debug id, under any name. It has the
    pages, and the page files of the names are copies of this header.
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
    native_id: str = ""


class Header:
    """The immutable header of a page file; its tables are read in place."""

    def __init__(self, raw: bytes) -> None:
        _, self.version, _, size, *rest = _PREFIX.unpack_from(raw)
        sections: list[int] = rest[:3]
        metadata, dictionary, generation = rest[3:]
        tables = PREFIX
        if self.version != _TEXT_VERSION:
            tables += U32
            sections.append(int.from_bytes(raw[PREFIX:tables], "little"))
        self._tables_at = tables
        self._bounds: tuple[int, ...] = (0, *accumulate(sections))
        ends = tables + U32 * self.page_count
        facts = ends + U32 * self.page_count
        self._dictionary_at: int = facts + metadata
        if self._dictionary_at + dictionary != size:
            raise MalformedPageFile("header parts do not add up")
        self.raw = raw
        self.generation: str = generation.hex()
        self._first_keys = table(memoryview(raw)[tables:ends])
        self._ends = table(memoryview(raw)[ends:facts])
        self.metadata = _metadata(raw[facts : self._dictionary_at])
        self._lock = Lock()
        self._made_reader: engine.Reader | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Return the header in `raw`. Raises MalformedPageFile unless it is one of a READABLE version."""
        size = header_bytes(raw)
        if len(raw) != size:
            raise MalformedPageFile(f"header has {len(raw)} bytes and says {size}")
        return cls(raw)

    @property
    def is_current(self) -> bool:
        """Whether the page file has the present format version; else it should be made again."""
        return bool(self.version == FORMAT_VERSION)

    @property
    def size(self) -> int:
        """Bytes held in memory, with the decompressor's copy of the dictionary."""
        return 2 * len(self.raw) - self._dictionary_at

    @property
    def page_count(self) -> int:
        """Number of pages in all sections."""
        return self._bounds[-1]

    def pages(self, section: Section) -> range:
        """Return the numbers of a section's pages."""
        if section + 1 >= len(self._bounds):
            return range(0)
        return range(self._bounds[section], self._bounds[section + 1])

    def page_for(self, section: Section, key: int) -> int | None:
        """Return the only page that may cover `key`; None before the section's first key."""
        pages = self.pages(section)
        page = bisect_right(self._first_keys, key, pages.start, pages.stop) - 1
        return page if page in pages else None

    def span(self, page: int) -> tuple[int, int]:
        """Return the byte range [start, end) of a page in the page file."""
        start = self._ends[page - 1] if page else 0
        return len(self.raw) + start, len(self.raw) + self._ends[page]

    def load(self, packed: Sequence[bytes]) -> Sequence[KeptPage]:
        """Check pages, and return them as a process keeps them. Raises MalformedPageFile."""
        reader = self.reader
        if reader is None:
            return [self.open(page) for page in packed]
        try:
            return reader.load(packed)
        except engine.MALFORMED as error:
            raise engine.malformed_page(error) from error

    def unpack(self, page: KeptPage) -> Page:
        """Return a page decoded."""
        if isinstance(page, Page):
            return page
        return decode_version_2(bytes(page))

    def symbol_lines(self, page_bytes: bytes) -> bytes:
        """Return the records of a page of symbols as lines of a symbol file. Raises MalformedPageFile."""
        reader = self.reader
        if reader is None:
            page = self.open(page_bytes)
            return b"".join(split(page.text(i)) + b"\n" for i in range(len(page.keys)))
        try:
            return reader.lines(page_bytes)
        except engine.MALFORMED as error:
            raise engine.malformed_page(error) from error

    @property
    def reader(self) -> engine.Reader | None:
        """The engine's reader of this header, None without the engine."""
        return self._reader(engine.MODULE) if engine.MODULE else None

    def _reader(self, module: engine.Engine) -> engine.Reader:
        # Two threads may make one each at the same time; the last one is kept.
        if self._made_reader is None:
            pages = [len(self.pages(section)) for section in list(Section)[:3]]
            generation = int(self.generation, 16)
            self._made_reader = module.Reader(
                self.raw, self.version, generation, self._tables_at, pages, self._dictionary_at
            )
        return self._made_reader

    def open(self, page_bytes: bytes) -> Page:
        """Decompress and decode one page. Raises MalformedPageFile."""
        try:
            if not 0 < zstandard.frame_content_size(page_bytes) <= MAX_PAGE_BYTES:
                raise MalformedPageFile("page does not say a likely size")
            # Headers are shared by all threads of a process, and a zstd context serves one thread at a time:
            # two calls at once would mix the contents of two pages.
            with self._lock:
                raw = self._decompressor.decompress(page_bytes)
        except zstandard.ZstdError as error:
            raise MalformedPageFile(f"page cannot be decompressed: {error}") from error
        return decode_version_2(raw) if self.version == _TEXT_VERSION else decode(raw)

    @property
    def dictionary(self) -> bytes:
        """Dictionary of the pages; empty for pages without one."""
        return self.raw[self._dictionary_at :]

    @cached_property
    def _decompressor(self) -> zstandard.ZstdDecompressor:
        trained = zstandard.ZstdCompressionDict(self.dictionary) if self.dictionary else None
        return zstandard.ZstdDecompressor(trained)


def _metadata(raw: bytes) -> Metadata:
    try:
        return Metadata(**orjson.loads(raw))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise MalformedPageFile("header metadata is not ours") from error


def header_bytes(prefix: bytes) -> int:
    """Return the length of a header from its first PREFIX bytes. Raises MalformedPageFile."""
    if len(prefix) < PREFIX:
        raise MalformedPageFile("page file is truncated")
    magic, version, codec, size, *_ = _PREFIX.unpack_from(prefix)
    if magic != MAGIC:
        raise MalformedPageFile("not a page file")
    if version not in READABLE or codec != CODEC_ZSTD:
        raise MalformedPageFile(f"page file has unknown format version {version} or codec {codec}")
    return int(size)


def decoded_bytes(page_bytes: bytes) -> int:
    """Return the unpacked length of a compressed page, 0 for bytes that are not a page."""
    try:
        return max(0, zstandard.frame_content_size(page_bytes))
    except zstandard.ZstdError:
        return 0


def is_header(raw: bytes) -> bool:
    """Return whether `raw` has the length of the header of this format version at its start."""
    with suppress(MalformedPageFile):
        return header_bytes(raw) == len(raw)
    return False


Read = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reader of the bytes of each [start, end) of one page file; `PageFiles.read` has its errors."""


def read_header(read: Read) -> bytes:
    """Return the bytes of a page file's header. Raises MalformedPageFile, and the errors of `read`."""
    (prefix,) = read([(0, PREFIX)])
    # The prefix is read again with the rest: another page file may have replaced this one between the reads,
    # and the first bytes of one with the tables of the other would give wrong functions.
    (raw,) = read([(0, header_bytes(prefix))])
    return raw


def read_pages(read: Read, header: Header, pages: Iterable[int]) -> list[bytes]:
    """Return compressed pages of the page file that `header` is from.

    Raises NotFound when it was deleted or replaced, and the errors of `read`.
    """
    found = read([header.span(page) for page in pages])
    # The generation is checked after the pages are read. Checked before, a page file that is replaced between
    # the two reads would give pages of the new file for the old header.
    (start,) = read([(0, PREFIX)])
    if start != header.raw[:PREFIX]:
        raise NotFound("the module has another page file now")
    return found


class PageWriter:
    """Writer of compressed pages, section by section. The header comes last, with the places of the pages."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0
        self._first_keys = array("I")
        self._ends = array("I")
        self._sections = [0] * len(Section)
        self._hash = hashlib.sha256()

    def add(self, section: Section, first_key: int, page: bytes | memoryview) -> None:
        """Write one page. Raises TooLarge for more than 4 GiB of pages."""
        self._written += len(page)
        if self._written >= 1 << 32:
            raise TooLarge("the pages of one module may not pass 4 GiB")
        self._out.write(page)
        self._hash.update(page)
        self._first_keys.append(first_key)
        self._ends.append(self._written)
        self._sections[section] += 1

    def header(self, metadata: Metadata, dictionary: bytes) -> Header:
        """Return the header of the pages that were written."""
        # Sorted keys, because the same symbols must give the same generation.
        facts = orjson.dumps(metadata._asdict(), option=orjson.OPT_SORT_KEYS)
        tables = words(self._first_keys) + words(self._ends)
        self._hash.update(tables + facts + dictionary)
        generation = self._hash.digest()[:8]
        *sections, cfi = self._sections
        size = PREFIX + U32 + len(tables) + len(facts) + len(dictionary)
        sizes = (size, *sections, len(facts), len(dictionary))
        prefix = _PREFIX.pack(MAGIC, FORMAT_VERSION, CODEC_ZSTD, *sizes, generation)
        return Header.parse(prefix + words([cfi]) + tables + facts + dictionary)

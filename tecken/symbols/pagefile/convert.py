"""Conversion of the text of a Breakpad symbol file to pages.

The text is cut, at FUNC and PUBLIC records, into pages of about 8 KB, and the numbers of each FUNC block are
packed. Each page is compressed on its own, with one dictionary for the module. Memory does not grow with the
text, because the text is written to a spool file and only a few megabytes of pages are in memory at a time.

Source: see `tecken.symbols.formats.breakpad`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import add
from typing import BinaryIO, Final, NamedTuple

from tecken.symbols.decompression import decompress
from tecken.symbols.formats.breakpad import Scanner, Table
from tecken.symbols.pagefile.bounds import (
    MAX_BLOCK,
    bounded_block,
    bounded_head,
    bounded_name,
    has_old_calls,
    without_calls,
)
from tecken.symbols.pagefile.compression import compress, train
from tecken.symbols.pagefile.file import Header, Metadata, PageWriter, Section
from tecken.symbols.pagefile.line_runs import join
from tecken.symbols.pagefile.packed import pack
from tecken.symbols.pagefile.page import encode
from tecken.symbols.source_paths import clean

__all__ = ["PageFileWriter", "decompress"]

PAGE_SIZE: Final = 8 << 10

# Bytes of text that are scanned, or read back, at once.
WINDOW: Final = 1 << 20

# Bytes between two texts that are cheaper to read than to skip.
GAP: Final = 64
DICTIONARY_SIZE: Final = 64 << 10

# Bytes of text. In a smaller module, a dictionary takes more than it saves.
DICTIONARY_FROM: Final = 8 << 20

# Bytes of text on which the dictionary is trained.
SAMPLE: Final = 2 << 20


class _Cut(NamedTuple):
    """Records of one page: those from `begin` to `end` of a table."""

    section: Section
    table: Table
    begin: int
    end: int

    @property
    def first_key(self) -> int:
        return self.table.keys[self.begin]


class PageFileWriter:
    """Conversion of one module.

    `spool` is a seekable file that the caller creates and removes; the pages are written to `pages`. The
    page file is `header.raw` followed by the content of `pages`. The same text gives the same bytes,
    whatever the chunks in which it is fed.
    """

    def __init__(self, spool: BinaryIO, pages: BinaryIO) -> None:
        self._spool = _Spool(spool)
        self._writer = PageWriter(pages)
        self._scanner = Scanner()
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._dropped: Counter[str] = Counter()
        # One program has written the file, so its first INLINE record has the form of all others. None: no
        # INLINE record was found yet.
        self._has_old_calls: bool | None = None

    @property
    def complete(self) -> bool:
        """Whether a STACK record was found: it and the rest of the text are not needed."""
        return self._scanner.end is not None

    def feed(self, chunk: bytes) -> None:
        """Add unpacked text. Raises Malformed, and TooLarge for millions of records."""
        self._chunks.append(chunk)
        self._chunk_bytes += len(chunk)
        # Windows of one size: the scanner's regular expressions then run on long texts, and the result does
        # not depend on the chunks of the source.
        if self._chunk_bytes >= WINDOW and not self.complete:
            text = b"".join(self._chunks)
            end = len(text) - len(text) % WINDOW
            for begin in range(0, end, WINDOW):
                self._scan(text[begin : begin + WINDOW])
            self._chunks, self._chunk_bytes = [text[end:]], len(text) - end

    def finish(self) -> Header:
        """Write the pages and return their header.

        Raises:
            Malformed: The text is not a symbol file.
            TooLarge: The pages take more than 4 GiB.
        """
        self._scan(b"".join(self._chunks))
        self._chunks = []
        self._scanner.finish()
        cuts = list(self._cuts())
        dictionary = self._dictionary(cuts)
        # The pages on which the dictionary was trained are made again, and their dropped records counted
        # again.
        self._dropped.clear()
        compressed = compress(map(self._page, cuts), dictionary)
        for cut, page in zip(cuts, compressed, strict=True):
            self._writer.add(cut.section, cut.first_key, page)
        return self._writer.header(self._metadata(), dictionary)

    def _scan(self, text: bytes) -> None:
        self._spool.append(text)
        self._scanner.feed(text)

    def _cuts(self) -> Iterator[_Cut]:
        tables = (self._scanner.symbols, self._scanner.files, self._scanner.origins)
        for section, table in zip(Section, tables, strict=False):
            for begin, end in table.cuts(PAGE_SIZE):
                yield _Cut(section, table, begin, end)

    def _page(self, cut: _Cut) -> bytes:
        records = slice(cut.begin, cut.end)
        texts = self._spool.texts(cut.table.starts[records], cut.table.lengths[records])
        if cut.section is Section.SYMBOLS:
            texts = _pack(list(map(self._symbol, texts)))
        elif cut.section is Section.FILES:
            texts = [_clean_path(bounded_name(text, self._dropped)) for text in texts]
        else:
            texts = [bounded_name(text, self._dropped) for text in texts]
        return encode(cut.table.keys[records], texts)

    def _symbol(self, text: bytes) -> bytes:
        """Return a FUNC block or a PUBLIC line within the bounds."""
        if text.startswith(b"PUBLIC"):
            return bounded_head(text, self._dropped)
        if len(text) > MAX_BLOCK:
            return bounded_block(text, self._dropped)
        block = self._scanner.without_names(text)
        if self._has_old_calls is None:
            self._has_old_calls = has_old_calls(block)
        if self._has_old_calls:
            block = without_calls(block, self._dropped)
        return bounded_block(block, self._dropped)

    def _dictionary(self, cuts: list[_Cut]) -> bytes:
        size = self._scanner.length
        if size < DICTIONARY_FROM:
            return b""
        step = max(1, size // SAMPLE)
        return train([self._page(cut) for cut in cuts[::step]], DICTIONARY_SIZE)

    def _metadata(self) -> Metadata:
        scanner = self._scanner
        assert scanner.module is not None
        return Metadata(
            **scanner.module._asdict(),
            symbols=len(scanner.symbols),
            sym_bytes=scanner.length,
            dropped=dict(scanner.dropped + self._dropped),
        )


def _pack(symbols: list[bytes]) -> list[bytes]:
    """Return symbols with packed FUNC blocks; the others are text with joined line records."""
    packed = [pack(symbol) for symbol in symbols]
    joined = iter(join([symbol for symbol, record in zip(symbols, packed, strict=True) if record is None]))
    return [next(joined) if record is None else record for record in packed]


def _clean_path(path: bytes) -> bytes:
    """Return a source path in the form of responses, so that lookups do not have to clean it."""
    text = path.decode(errors="surrogateescape").strip()
    cleaned = clean(text)
    return path if cleaned == text else cleaned.encode(errors="surrogateescape")


class _Spool:
    """Temporary file for the text, written once and then read mostly in order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # Text that was read ahead, and its place in the file.
        self._buffer = b""
        self._buffer_start = 0
        self._last_end = 0

    def append(self, text: bytes) -> None:
        self._file.write(text)

    def texts(self, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        low, high = min(starts), max(map(add, starts, lengths))
        if high - low > sum(lengths) + GAP * len(starts):
            return [self._read(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        text = self._read(low, high)
        return [text[s - low : s - low + n] for s, n in zip(starts, lengths, strict=True)]

    def _read(self, start: int, end: int) -> bytes:
        is_next = 0 <= start - self._last_end <= GAP
        self._last_end = end
        if not self._buffer_start <= start <= end <= self._buffer_start + len(self._buffer):
            self._file.seek(start)
            # Reads ahead only where records follow on each other. In a file with records in random order,
            # each record would otherwise cost a read of a whole window.
            if not is_next:
                return self._file.read(end - start)
            self._buffer = self._file.read(max(WINDOW, end - start))
            self._buffer_start = start
        return self._buffer[start - self._buffer_start : end - self._buffer_start]

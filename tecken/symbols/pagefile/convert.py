"""Turns the text of a Breakpad symbol file into pages.

The text is not parsed but cut: at FUNC and PUBLIC records, into pages of some 16 KB, each compressed on its
own with one dictionary for the module. Memory does not grow with the text: it waits in a spool file, and a
few megabytes of pages are in flight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import add
from typing import BinaryIO, Final, NamedTuple

from tecken.symbols.decompression import decoded
from tecken.symbols.formats.breakpad import Scanner, Table
from tecken.symbols.pagefile.bounds import (
    MAX_BLOCK,
    bounded_block,
    bounded_head,
    bounded_name,
    has_old_calls,
    without_calls,
)
from tecken.symbols.pagefile.compression import press, train
from tecken.symbols.pagefile.file import Header, Metadata, PageWriter, Section
from tecken.symbols.pagefile.line_runs import join
from tecken.symbols.pagefile.page import encode
from tecken.symbols.source_paths import clean

__all__ = ["Converter", "decoded"]

PAGE_SIZE: Final = 16 << 10
WINDOW: Final = 1 << 20  # text scanned, or read back, at once
GAP: Final = 64  # bytes between two texts that are cheaper read than skipped
DICTIONARY_SIZE: Final = 64 << 10
DICTIONARY_FROM: Final = 8 << 20  # bytes of text; a smaller module gains less than the dictionary takes
SAMPLE: Final = 2 << 20  # bytes of text that the dictionary is trained on


class _Cut(NamedTuple):
    """One page to be: records `begin` to `end` of a table."""

    section: Section
    table: Table
    begin: int
    end: int

    @property
    def first_key(self) -> int:
        return self.table.keys[self.begin]


class Converter:
    """One module. `spool` is a seekable file that the caller made and removes; the pages go to `pages`.

    The page file is `header.raw` followed by what was written to `pages`; the same text gives the same bytes,
    however it was cut into chunks.
    """

    def __init__(self, spool: BinaryIO, pages: BinaryIO) -> None:
        self._spool = _Spool(spool)
        self._writer = PageWriter(pages)
        self._scanner = Scanner()
        self._waiting: list[bytes] = []
        self._held = 0
        self._dropped: Counter[str] = Counter()
        # A file is of one writer, so its first INLINE record shows the form of all; None: not seen yet.
        self._has_old_calls: bool | None = None

    @property
    def complete(self) -> bool:
        """Whether the rest of the text no longer matters: its first STACK record was seen."""
        return self._scanner.end is not None

    def feed(self, chunk: bytes) -> None:
        """Decoded text, any cut. Raises Malformed, and TooMuch for millions of records."""
        self._waiting.append(chunk)
        self._held += len(chunk)
        if self._held >= WINDOW and not self.complete:
            text = b"".join(self._waiting)
            whole = len(text) - len(text) % WINDOW
            for begin in range(0, whole, WINDOW):
                self._scan(text[begin : begin + WINDOW])
            self._waiting, self._held = [text[whole:]], len(text) - whole

    def finish(self) -> Header:
        """Cut and compress. Raises Malformed for what is no symbol file, TooMuch past 4 GiB of pages."""
        self._scan(b"".join(self._waiting))
        self._waiting = []
        self._scanner.finish()
        cuts = list(self._cuts())
        dictionary = self._dictionary(cuts)
        # The pages that the dictionary was trained on are made again.
        self._dropped.clear()
        compressed = press(map(self._page, cuts), dictionary)
        for cut, page in zip(cuts, compressed, strict=True):
            self._writer.add(cut.section, cut.first_key, page)
        return self._writer.header(self._metadata(), dictionary)

    def _scan(self, text: bytes) -> None:
        self._spool.append(text)
        self._scanner.feed(text)

    def _cuts(self) -> Iterator[_Cut]:
        found = self._scanner
        for section, table in zip(Section, (found.symbols, found.files, found.origins), strict=True):
            for begin, end in table.cuts(PAGE_SIZE):
                yield _Cut(section, table, begin, end)

    def _page(self, cut: _Cut) -> bytes:
        records = slice(cut.begin, cut.end)
        texts = self._spool.texts(cut.table.starts[records], cut.table.lengths[records])
        if cut.section is Section.SYMBOLS:
            texts = join(list(map(self._symbol, texts)))
        elif cut.section is Section.FILES:
            texts = [_cleaned(bounded_name(text, self._dropped)) for text in texts]
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
        found = self._scanner
        assert found.module is not None
        return Metadata(
            **found.module._asdict(),
            symbols=len(found.symbols),
            sym_bytes=found.length,
            dropped=dict(found.dropped + self._dropped),
        )


def _cleaned(path: bytes) -> bytes:
    """Return a source path as answers have it, so that no lookup needs to clean it."""
    text = path.decode(errors="surrogateescape").strip()
    cleaned = clean(text)
    return path if cleaned == text else cleaned.encode(errors="surrogateescape")


class _Spool:
    """Text written once, then read back mostly in order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = b""
        self._held_at = 0
        self._last = 0

    def append(self, text: bytes) -> None:
        self._file.write(text)

    def texts(self, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        low, high = min(starts), max(map(add, starts, lengths))
        if high - low > sum(lengths) + GAP * len(starts):
            return [self._read(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        text = self._read(low, high)
        return [text[s - low : s - low + n] for s, n in zip(starts, lengths, strict=True)]

    def _read(self, start: int, end: int) -> bytes:
        """Reads ahead when `start` follows on what was read before."""
        follows = 0 <= start - self._last <= GAP
        self._last = end
        if not self._held_at <= start <= end <= self._held_at + len(self._held):
            self._file.seek(start)
            if not follows:
                return self._file.read(end - start)
            self._held = self._file.read(max(WINDOW, end - start))
            self._held_at = start
        return self._held[start - self._held_at : end - self._held_at]

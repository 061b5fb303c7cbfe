"""Cutting of the text of a symbol file into pages: in Python, or with the engine.

Both cut at the same places and raise the same errors; the engine also packs FUNC blocks (`packed`). A cutter
is fed, cuts once, and then makes pages.

Source: see `tecken.symbols.formats.breakpad`.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import UnsupportedOperation
from operator import add
from typing import BinaryIO, Final, NamedTuple, Protocol

import zstandard

from tecken.errors import Malformed, TooLarge
from tecken.symbols import engine
from tecken.symbols.formats import breakpad
from tecken.symbols.formats.breakpad import ModuleRecord, Scanner, Table, parse_head, refuse_unusable
from tecken.symbols.pagefile.bounds import (
    MAX_BLOCK,
    bounded_block,
    bounded_head,
    bounded_name,
    without_calls,
)
from tecken.symbols.pagefile.file import Section
from tecken.symbols.pagefile.line_runs import join
from tecken.symbols.pagefile.page import encode
from tecken.symbols.source_paths import clean

# Bytes of text of a page. Packed and decompressed it has about half of that.
PAGE_SIZE: Final = 8 << 10

# Bytes of text that are scanned, or read back, at once. The engine has a few buffers of this size, and tables
# with room for as many records as so much text can have. They stay below 128 KiB, because larger ones are new
# memory each time, and touching that takes longer than the scan.
WINDOW: Final = 64 << 10

# Bytes between two texts that are cheaper to read than to skip.
GAP: Final = 64

Take = Callable[[int, bytes, Sequence[int]], None]
"""Receiver of compressed pages: the number of the first one, all of them, and the end of each."""


class Cutter(Protocol):
    """Cutter of one symbol file."""

    @property
    def module(self) -> ModuleRecord | None:
        """Module of the MODULE record, None before it was fed."""
        ...

    @property
    def complete(self) -> bool:
        """Whether a STACK record was found."""
        ...

    @property
    def length(self) -> int:
        """Bytes of text up to the first STACK record."""
        ...

    @property
    def symbols(self) -> int:
        """Number of symbols after `cut`."""
        ...

    @property
    def dropped(self) -> dict[str, int]:
        """Number of records left out, by reason: by `cut`, and by `compress`."""
        ...

    @property
    def cuts(self) -> Sequence[tuple[int, int]]:
        """Section and first key of each page, after `cut`."""
        ...

    def feed(self, chunk: bytes) -> None:
        """Add text. Raises Malformed, and TooLarge for millions of records."""
        ...

    def cut(self) -> None:
        """Cut the text that was fed into pages. Raises Malformed, TooLarge."""
        ...

    def page(self, number: int) -> bytes:
        """Return a page, not compressed."""
        ...

    def compress(self, dictionary: bytes, take: Take) -> None:
        """Give all pages to `take`, compressed, in order."""
        ...


def make_cutter(spool: BinaryIO) -> Cutter:
    """Return the fastest cutter that there is. `spool` is an empty file, which the caller removes."""
    if engine.MODULE:
        try:
            return EngineCutter(engine.MODULE, spool)
        except OSError:
            # A system without /dev/fd.
            pass
    return PythonCutter(spool)


class EngineCutter:
    """Cutter of the engine, which works without the GIL."""

    def __init__(self, module: engine.Engine, spool: BinaryIO) -> None:
        try:
            descriptor = spool.fileno()
        except UnsupportedOperation:
            descriptor = None
        self._cutter = module.Cutter(descriptor, WINDOW, PAGE_SIZE, breakpad.MAX_RECORDS)
        self._refused = module.Refused
        self.module: ModuleRecord | None = None
        self.cuts: Sequence[tuple[int, int]] = ()

    @property
    def complete(self) -> bool:
        """Whether a STACK record was found."""
        return self._cutter.complete

    @property
    def length(self) -> int:
        """Bytes of text up to the first STACK record."""
        return self._cutter.length

    @property
    def symbols(self) -> int:
        """Number of symbols."""
        return self._cutter.symbols

    @property
    def dropped(self) -> dict[str, int]:
        """Number of records left out, by reason."""
        return self._cutter.dropped

    def feed(self, chunk: bytes) -> None:
        """Add text."""
        with self._refusals():
            self._cutter.feed(chunk)

    def cut(self) -> None:
        """Cut the text into pages."""
        with self._refusals():
            self._cutter.cut()
        refuse_unusable(self.module, self.symbols, self.dropped, has_stack=self.complete)
        self.cuts = self._cutter.cuts

    def page(self, number: int) -> bytes:
        """Return a page, not compressed."""
        return self._cutter.page(number)

    def compress(self, dictionary: bytes, take: Take) -> None:
        """Give all pages to `take`, compressed, in order."""
        self._cutter.compress(dictionary, THREADS, take)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn the engine's errors into those of the Python form, after those of the MODULE record."""
        refusal = None
        try:
            yield
        except self._refused as error:
            is_too_large, reason = error.args
            refusal = TooLarge(reason) if is_too_large else Malformed(reason)
        head = self._cutter.head if self.module is None else None
        if head is not None:
            self.module = parse_head(head)
        if refusal:
            raise refusal


class _Cut(NamedTuple):
    """Records of one page: those from `begin` to `end` of a table."""

    section: Section
    table: Table
    begin: int
    end: int

    @property
    def first_key(self) -> int:
        return self.table.keys[self.begin]


class PythonCutter:
    """Cutter in Python. FUNC blocks stay text, with joined line records."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = _Spool(spool)
        self._scanner = Scanner()
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._dropped: Counter[str] = Counter()
        self._all_cuts: list[_Cut] = []

    @property
    def module(self) -> ModuleRecord | None:
        """Module of the MODULE record."""
        return self._scanner.module

    @property
    def complete(self) -> bool:
        """Whether a STACK record was found."""
        return self._scanner.end is not None

    @property
    def length(self) -> int:
        """Bytes of text up to the first STACK record."""
        return self._scanner.length

    @property
    def symbols(self) -> int:
        """Number of symbols."""
        return len(self._scanner.symbols)

    @property
    def dropped(self) -> dict[str, int]:
        """Number of records left out, by reason."""
        return dict(self._scanner.dropped + self._dropped)

    @property
    def cuts(self) -> Sequence[tuple[int, int]]:
        """Section and first key of each page."""
        return [(cut.section, cut.first_key) for cut in self._all_cuts]

    def feed(self, chunk: bytes) -> None:
        """Add text."""
        if self.complete:
            return
        self._chunks.append(chunk)
        self._chunk_bytes += len(chunk)
        # Windows of one size: the scanner's regular expressions then run on long texts, and the result does
        # not depend on the chunks of the source.
        if self._chunk_bytes >= WINDOW:
            text = b"".join(self._chunks)
            end = len(text) - len(text) % WINDOW
            for begin in range(0, end, WINDOW):
                self._scan(text[begin : begin + WINDOW])
            self._chunks, self._chunk_bytes = [text[end:]], len(text) - end

    def cut(self) -> None:
        """Cut the text into pages."""
        self._scan(b"".join(self._chunks))
        self._chunks = []
        self._scanner.finish()
        self._all_cuts = list(self._find_cuts())

    def page(self, number: int) -> bytes:
        """Return a page, not compressed."""
        return self._page(self._all_cuts[number], Counter())

    def compress(self, dictionary: bytes, take: Take) -> None:
        """Give all pages to `take`, compressed, in order."""
        self._dropped.clear()
        pages = (self._page(cut, self._dropped) for cut in self._all_cuts)
        for number, page in enumerate(compress(pages, dictionary)):
            take(number, page, [len(page)])

    def _scan(self, text: bytes) -> None:
        if not self.complete:
            self._spool.append(text)
            self._scanner.feed(text)

    def _find_cuts(self) -> Iterator[_Cut]:
        tables = (self._scanner.symbols, self._scanner.files, self._scanner.origins)
        for section, table in zip(Section, tables, strict=False):
            for begin, end in table.cuts(PAGE_SIZE):
                yield _Cut(section, table, begin, end)

    def _page(self, cut: _Cut, dropped: Counter[str]) -> bytes:
        records = slice(cut.begin, cut.end)
        texts = self._spool.texts(cut.table.starts[records], cut.table.lengths[records])
        if cut.section is Section.SYMBOLS:
            texts = self._write_symbols([self._symbol(text, dropped) for text in texts])
        elif cut.section is Section.FILES:
            texts = [_clean_path(bounded_name(text, dropped)) for text in texts]
        else:
            texts = [bounded_name(text, dropped) for text in texts]
        return encode(cut.table.keys[records], texts)

    def _write_symbols(self, symbols: list[bytes]) -> list[bytes]:
        """Return FUNC blocks and PUBLIC lines in the form that pages have."""
        return join(symbols)

    def _symbol(self, text: bytes, dropped: Counter[str]) -> bytes:
        """Return a FUNC block or a PUBLIC line within the bounds."""
        if text.startswith(b"PUBLIC"):
            return bounded_head(text, dropped)
        if len(text) > MAX_BLOCK:
            return bounded_block(text, dropped)
        block = self._scanner.without_names(text)
        # One program has written the file, so its first INLINE record has the form of all others.
        if self._scanner.has_old_calls:
            block = without_calls(block, dropped)
        return bounded_block(block, dropped)


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


# Bytes of pages that one thread compresses in one call.
BATCH: Final = 1 << 20
THREADS: Final = min(4, os.cpu_count() or 1)

# Tables for small pages: those of zstd's levels are for larger inputs. The dictionary's id is left out: it
# is the same for all pages of a module and would cost each page up to four bytes.
PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    window_log=17,
    chain_log=14,
    hash_log=15,
    search_log=3,
    min_match=5,
    target_length=16,
    strategy=zstandard.STRATEGY_LAZY,
    write_dict_id=False,
)
Piece = bytes | bytearray | memoryview
"""Types that zstandard accepts."""


def train(samples: list[Piece], size: int) -> bytes:
    """Return a dictionary of at most `size` bytes; empty when there are too few samples for one."""
    try:
        trained = zstandard.train_dictionary(size, samples, k=256, d=8, f=20, steps=1, accel=10, threads=1)
    except zstandard.ZstdError:
        return b""
    return trained.as_bytes()


def compress(pages: Iterable[bytes], dictionary: bytes) -> Iterator[bytes]:
    """Yield each page compressed, in order. A few megabytes of pages are in memory at a time."""
    trained = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if trained:
        trained.precompute_compress(compression_params=PARAMETERS)

    def compress_batch(batch: list[Piece]) -> list[bytes]:
        # A zstd context serves one thread at a time, so each batch has its own.
        compressor = zstandard.ZstdCompressor(compression_params=PARAMETERS, dict_data=trained)
        # One call for the whole batch releases the GIL once, so the threads run on several cores while the
        # main thread makes the next batch.
        compressed = compressor.multi_compress_to_buffer(batch)
        return [compressed[i].tobytes() for i in range(len(compressed))]

    with ThreadPoolExecutor(THREADS) as pool:
        # Results are taken in order, and the number of batches in the pool is bounded: an unbounded queue
        # would hold all pages of a large module in memory.
        pending: deque[Future[list[bytes]]] = deque()
        for batch in _batches(pages):
            pending.append(pool.submit(compress_batch, batch))
            if len(pending) > THREADS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _batches(pages: Iterable[bytes]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for page in pages:
        batch.append(page)
        size += len(page)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

"""Conversion of the text of a symbol file to pages, and back.

The text is cut, at FUNC and PUBLIC records, into pages of about 8 KB, and the numbers of each FUNC block are
packed (`cutter`). Each page is compressed on its own, with one dictionary for the module. Memory does not
grow with the text, because the text is written to a spool file and only a few megabytes of pages are in
memory at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache, partial
from typing import BinaryIO, Final, NamedTuple

from tecken.symbols.decompression import decompress
from tecken.symbols.lookup import Frame, PageLookup, frame, name
from tecken.symbols.pagefile.cfi import CfiScanner
from tecken.symbols.pagefile.cfi import expand as expand_cfi
from tecken.symbols.pagefile.cutter import Cutter, compress, make_cutter, train
from tecken.symbols.pagefile.file import Header, Metadata, PageWriter, Read, Section, read_pages
from tecken.symbols.pagefile.page import Page, decode

__all__ = ["PageFileWriter", "decompress"]

DICTIONARY_SIZE: Final = 64 << 10

# Bytes of text. In a smaller module, a dictionary takes more than it saves.
DICTIONARY_FROM: Final = 8 << 20

# Bytes of text on which the dictionary is trained.
SAMPLE: Final = 4 << 20

# Decoded pages that `frames_at` keeps: some hundred kilobytes.
PAGES_KEPT: Final = 64


class ScannedModule(NamedTuple):
    """Facts about a module, spelt as in its text."""

    debug_id: str
    code_file: str


class PageFileWriter:
    """Conversion of one module.

    `spool` is a seekable file that the caller creates and removes; the pages are written to `pages`. The
    page file is `header.raw` followed by the content of `pages`. The same text gives the same pages, whatever
    the chunks in which it is fed, and whatever cutter `make` returns.

    With `cfi`, another spool file, the page file has the module's call frame information, which is up to half
    of a symbol file. Without it the writer needs only the text before. `native_id` is that of `Metadata`.
    """

    def __init__(
        self,
        spool: BinaryIO,
        pages: BinaryIO,
        make: Callable[[BinaryIO], Cutter] = make_cutter,
        *,
        cfi: BinaryIO | None = None,
        native_id: str = "",
    ) -> None:
        self._native_id = native_id
        self._cutter = make(spool)
        self._cfi = CfiScanner(cfi) if cfi else None
        self._writer = PageWriter(pages)
        self._is_scanned = False
        self._left_out: dict[str, int] = {}

    @property
    def complete(self) -> bool:
        """Whether the rest of the text is not needed."""
        return self.has_all_symbols and self._cfi is None

    @property
    def has_all_symbols(self) -> bool:
        """Whether the rest of the text has no symbols: it begins with the first STACK record."""
        return self._cutter.complete

    def feed(self, chunk: bytes) -> None:
        """Add unpacked text; after `finish_scan` only its call frame information.

        Raises Malformed, and TooLarge for millions of records.
        """
        if not self._is_scanned:
            self._cutter.feed(chunk)
        if self._cfi:
            self._cfi.feed(chunk)

    def leave_out_rest(self, reason: str) -> None:
        """Note that the rest of the text, which has no symbols, is not fed, and why."""
        self._left_out[f"rest of the STACK records: {reason}"] = 1

    def finish_scan(self) -> ScannedModule:
        """Find the records of all text that was fed, and return its module.

        Raises:
            Malformed: The text is not a symbol file.
            TooLarge: The text has millions of records of one kind.
        """
        self._cutter.cut()
        self._is_scanned = True
        module = self._cutter.module
        assert module is not None
        return ScannedModule(module.debug_id, module.code_file)

    def frames_at(self, offsets: Iterable[int]) -> Iterator[tuple[int, Frame | None]]:
        """Yield module offsets in ascending order, each with its frame; call it after `finish_scan`.

        The frames are those of the finished page file. Only the pages that they need are made, and nothing is
        written. Raises MalformedPageFile for a record that cannot be read.
        """
        pages = ScannedPages(self._cutter)
        finder, current = None, None
        for offset in sorted(set(offsets)):
            number = pages.find(Section.SYMBOLS, offset)
            if number is None:
                yield offset, None
                continue
            if finder is None or number != current:
                finder, current = PageLookup(pages.page(number)), number
            hit = finder.find(offset)
            yield offset, hit and frame(hit, pages.file_name, pages.origin_name)

    def finish(self) -> Header:
        """Write the pages and return their header.

        Raises:
            Malformed: The text is not a symbol file.
            TooLarge: The text has millions of records, or the pages take more than 4 GiB.
        """
        if not self._is_scanned:
            self.finish_scan()
        cuts = self._cutter.cuts
        dictionary = self._dictionary(len(cuts))

        def take(number: int, pages: bytes, ends: Sequence[int]) -> None:
            start, view = 0, memoryview(pages)
            for (section, first_key), end in zip(cuts[number:], ends, strict=False):
                self._writer.add(Section(section), first_key, view[start:end])
                start = end

        self._cutter.compress(dictionary, take)
        self._add_cfi(dictionary)
        return self._writer.header(self._metadata(), dictionary)

    def _add_cfi(self, dictionary: bytes) -> None:
        if self._cfi:
            self._cfi.finish()
            first_keys: list[int] = []

            def pages(cfi: CfiScanner) -> Iterator[bytes]:
                for first_key, page in cfi.pages():
                    first_keys.append(first_key)
                    yield page

            for i, page in enumerate(compress(pages(self._cfi), dictionary)):
                self._writer.add(Section.CFI, first_keys[i], page)

    def _dictionary(self, pages: int) -> bytes:
        size = self._cutter.length
        if size < DICTIONARY_FROM:
            return b""
        step = max(1, size // SAMPLE)
        return train([self._cutter.page(number) for number in range(0, pages, step)], DICTIONARY_SIZE)

    def _metadata(self) -> Metadata:
        cutter = self._cutter
        assert cutter.module is not None
        return Metadata(
            **cutter.module._asdict(),
            symbols=cutter.symbols,
            sym_bytes=cutter.length,
            dropped=cutter.dropped | (self._cfi.dropped if self._cfi else {}) | self._left_out,
            native_id=self._native_id,
        )


class ScannedPages:
    """Pages of a scanned text by key, made when they are needed."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        # By the numbers of sections: a module may have twenty thousand pages.
        self._starts: dict[int, int] = {}
        self._first_keys: dict[int, list[int]] = {section: [] for section in Section}
        for number, (section, first_key) in enumerate(cutter.cuts):
            self._starts.setdefault(section, number)
            self._first_keys[section].append(first_key)
        # The names of one frame after another are often on the same pages.
        self.page = lru_cache(PAGES_KEPT)(self._page)
        self.file_name = cache(partial(self._name, Section.FILES))
        self.origin_name = cache(partial(self._name, Section.ORIGINS))

    def find(self, section: Section, key: int) -> int | None:
        """Return the number of the only page that may cover `key`; None before the section's first key."""
        place = bisect_right(self._first_keys[section], key) - 1
        return None if place < 0 else self._starts[section] + place

    def _page(self, number: int) -> Page:
        return decode(self._cutter.page(number))

    def _name(self, section: Section, number: int) -> str:
        page = self.find(section, number)
        return "" if page is None else name(self.page(page), number)


# Back to text

# Bytes of compressed pages that are read at once.
READ_BYTES: Final = 256 << 10


def symbol_file_text(header: Header, read: Read) -> Iterator[bytes]:
    """Yield the text of a symbol file from its page file, in chunks of one page.

    Records come sorted, source paths cleaned, and each line record has a line of its own. Records that
    conversion has left out are missing, and so are the STACK records of a page file without them. Raises
    MalformedPageFile, NotFound when the page file is deleted or replaced meanwhile, and the errors of `read`.
    """
    yield _head(header.metadata)
    for section, lines in _LINES.items():
        for batch in _batches(header, section):
            for page in read_pages(read, header, batch):
                yield lines(header, page)


def _head(module: Metadata) -> bytes:
    # Native files without an id have the one under which they were uploaded.
    debug_id = module.native_id or module.debug_id
    lines = [f"MODULE {module.os} {module.arch} {debug_id} {module.debug_file}"]
    if module.code_id:
        lines.append(f"INFO CODE_ID {module.code_id} {module.code_file}".rstrip())
    if module.generator:
        lines.append(f"INFO GENERATOR {module.generator}")
    return "".join(f"{line}\n" for line in lines).encode()


def _batches(header: Header, section: Section) -> Iterator[list[int]]:
    """Yield the numbers of a section's pages, of about READ_BYTES together."""
    batch, size = [], 0
    for number in header.pages(section):
        start, end = header.span(number)
        batch.append(number)
        size += end - start
        if size >= READ_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _names(kind: bytes, header: Header, page_bytes: bytes) -> bytes:
    page = header.open(page_bytes)
    return b"".join([b"%b %d %b\n" % (kind, key, page.record(i)) for i, key in enumerate(page.keys)])


def _stack(header: Header, page_bytes: bytes) -> bytes:
    page = header.open(page_bytes)
    records = (expand_cfi(page.record(i), key) for i, key in enumerate(page.keys))
    return b"".join([b"%b\n" % line for lines in records for line in lines])


_LINES: Final[dict[Section, Callable[[Header, bytes], bytes]]] = {
    Section.FILES: partial(_names, b"FILE"),
    Section.ORIGINS: partial(_names, b"INLINE_ORIGIN"),
    Section.SYMBOLS: Header.symbol_lines,
    Section.CFI: _stack,
}

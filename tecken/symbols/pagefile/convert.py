"""Conversion of the text of a Breakpad symbol file to pages.

The text is cut, at FUNC and PUBLIC records, into pages of about 8 KB, and the numbers of each FUNC block are
packed (`cutter`). Each page is compressed on its own, with one dictionary for the module. Memory does not
grow with the text, because the text is written to a spool file and only a few megabytes of pages are in
memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO, Final

from tecken.symbols.decompression import decompress
from tecken.symbols.pagefile.compression import train
from tecken.symbols.pagefile.cutter import Cutter, make_cutter
from tecken.symbols.pagefile.file import Header, Metadata, PageWriter, Section

__all__ = ["PageFileWriter", "decompress"]

DICTIONARY_SIZE: Final = 64 << 10

# Bytes of text. In a smaller module, a dictionary takes more than it saves.
DICTIONARY_FROM: Final = 8 << 20

# Bytes of text on which the dictionary is trained.
SAMPLE: Final = 2 << 20


class PageFileWriter:
    """Conversion of one module.

    `spool` is a seekable file that the caller creates and removes; the pages are written to `pages`. The
    page file is `header.raw` followed by the content of `pages`. The same text gives the same pages, whatever
    the chunks in which it is fed, and whatever cutter `make` returns.
    """

    def __init__(
        self, spool: BinaryIO, pages: BinaryIO, make: Callable[[BinaryIO], Cutter] = make_cutter
    ) -> None:
        self._cutter = make(spool)
        self._writer = PageWriter(pages)
        self._is_cut = False

    @property
    def complete(self) -> bool:
        """Whether a STACK record was found: it and the rest of the text are not needed."""
        return self._cutter.complete

    def feed(self, chunk: bytes) -> None:
        """Add unpacked text. Raises Malformed, and TooLarge for millions of records."""
        self._cutter.feed(chunk)

    def cut(self) -> None:
        """Cut the text that was fed into pages.

        Raises:
            Malformed: The text is not a symbol file.
            TooLarge: The text has millions of records of one kind.
        """
        if not self._is_cut:
            self._cutter.cut()
            self._is_cut = True

    def finish(self) -> Header:
        """Write the pages and return their header.

        Raises:
            Malformed: The text is not a symbol file.
            TooLarge: The text has millions of records, or the pages take more than 4 GiB.
        """
        self.cut()
        cuts = self._cutter.cuts
        dictionary = self._dictionary(len(cuts))

        def take(number: int, pages: bytes, ends: Sequence[int]) -> None:
            start, view = 0, memoryview(pages)
            for (section, first_key), end in zip(cuts[number:], ends, strict=False):
                self._writer.add(Section(section), first_key, view[start:end])
                start = end

        self._cutter.compress(dictionary, take)
        return self._writer.header(self._metadata(), dictionary)

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
            dropped=cutter.dropped,
        )

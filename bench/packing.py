"""Compares forms of pages: version 2 (text) and version 3 (packed), page sizes, and dictionaries.

    python -m bench.packing FILE.sym

For each form: what is kept (pages, header tables and dictionary) of the symbol file, the bytes of a page
before compression, the CPU time of compression in one thread, and the time to decompress a page. All forms
are made from the same records, with the parameters of `pagefile.cutter`.
"""

from __future__ import annotations

import argparse
import io
import struct
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import zstandard

from tecken.symbols.pagefile import cutter
from tecken.symbols.pagefile.convert import SAMPLE
from tecken.symbols.pagefile.cutter import WINDOW, make_cutter, train
from tecken.symbols.pagefile.file import Section
from tecken.symbols.pagefile.page import decode, words

COLUMNS = ("form", "page", "dictionary", "kept %", "pages", "page bytes", "compress s", "open us")
PAGE_SIZES = (4 << 10, 8 << 10, 16 << 10)
DICTIONARIES = (0, 16 << 10, 64 << 10, 128 << 10)

# Bytes of the header for each page.
TABLES = 8

# Pages that are decompressed for the time of one.
OPENED = 2000


class Row(NamedTuple):
    form: str
    page_size: int
    dictionary: int
    kept: float
    pages: int
    page_bytes: float
    compress_seconds: float
    open_seconds: float


def packed_pages(path: Path, page_size: int) -> list[tuple[int, bytes]]:
    """Return section and bytes of each page."""
    with mock.patch.object(cutter, "PAGE_SIZE", page_size), path.open("rb", buffering=0) as text:
        made = make_cutter(io.BytesIO())
        while not made.complete and (chunk := text.read(WINDOW)):
            made.feed(chunk)
        made.cut()
        return [(section, made.page(number)) for number, (section, _) in enumerate(made.cuts)]


def text_pages(pages: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield the same pages as version 2 has them."""
    for section, raw in pages:
        page = decode(raw)
        read = page.text if section == Section.SYMBOLS else page.record
        texts = [read(i) for i in range(len(page.keys))]
        yield (
            struct.pack("<I", len(texts))
            + words(page.keys)
            + words(list(accumulate(map(len, texts))))
            + b"".join(texts)
        )


def measure(form: str, page_size: int, pages: Sequence[bytes], size: int, file_bytes: int) -> Row:
    step = max(1, sum(map(len, pages)) // SAMPLE)
    dictionary = train(list(pages[::step]), size) if size else b""
    trained = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    compressor = zstandard.ZstdCompressor(compression_params=cutter.PARAMETERS, dict_data=trained)
    start = time.process_time()
    compressed = [compressor.compress(page) for page in pages]
    compress_seconds = time.process_time() - start
    decompressor = zstandard.ZstdDecompressor(trained)
    opened = compressed[:: max(1, len(compressed) // OPENED)]
    start = time.process_time()
    for page in opened:
        decompressor.decompress(page)
    open_seconds = (time.process_time() - start) / len(opened)
    kept = sum(map(len, compressed)) + len(dictionary) + TABLES * len(pages)
    mean = sum(map(len, pages)) / len(pages)
    return Row(
        form,
        page_size,
        len(dictionary),
        100 * kept / file_bytes,
        len(pages),
        mean,
        compress_seconds,
        open_seconds,
    )


def rows(path: Path) -> Iterator[Row]:
    size = path.stat().st_size
    for page_size in PAGE_SIZES:
        packed = packed_pages(path, page_size)
        forms = {"text": list(text_pages(packed)), "packed": [page for _, page in packed]}
        for form, pages in forms.items():
            for dictionary in DICTIONARIES:
                yield measure(form, page_size, pages, dictionary, size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    print("".join(name.rjust(12) for name in COLUMNS))
    for row in rows(path):
        sizes = f"{row.page_size >> 10:10} K{row.dictionary / 1024:10.0f} K"
        numbers = f"{sizes}{row.kept:12.2f}{row.pages:12}"
        times = f"{row.compress_seconds:12.2f}{row.open_seconds * 1e6:12.1f}"
        print(f"{row.form:>12}{numbers}{row.page_bytes:12.0f}{times}")


if __name__ == "__main__":
    main()

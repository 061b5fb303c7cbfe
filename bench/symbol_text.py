"""The symbol file of native files, made from their page file: what it costs, and what it saves in storage.

    python -m bench.symbol_text FILE...

For each native file: bytes of its page file, and of its text as gzip, per byte of the file; CPU seconds for
the text from the page file, plain and as gzip, with the engine and without it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from unittest import mock

from bench import rig
from tecken.storage.backends.files import gzip_chunks
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import dump, find_engine
from tecken.symbols import engine
from tecken.symbols.pagefile.convert import PageFileWriter, symbol_file_text
from tecken.symbols.pagefile.file import Header

COLUMNS = ("file, MB", "text, MB", "page file, %", "gzip, %", "text, CPU s", "as gzip", "without engine")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    rig.table(COLUMNS, [measure(path) for path in parser.parse_args().files])


def measure(path: Path) -> list[str]:
    size = path.stat().st_size
    with ExitStack() as opened:
        spool, cfi, pages = (opened.enter_context(TemporaryFile()) for _ in range(3))
        header = convert(path, PageFileWriter(spool, pages, cfi=cfi))
        read = partial(read_spans, header, pages)
        text, plain = cost(lambda: symbol_file_text(header, read))
        packed, as_gzip = cost(lambda: gzip_chunks(symbol_file_text(header, read)))
        with mock.patch.object(engine, "MODULE", None):
            _, in_python = cost(lambda: symbol_file_text(Header.parse(header.raw), read))
        stored = len(header.raw) + pages.seek(0, 2)
    shares = (f"{100 * part / size:.1f}" for part in (stored, packed))
    times = (f"{seconds:.2f}" for seconds in (plain, as_gzip, in_python))
    return [f"{path.name[:12]} {size / 1e6:.1f}", f"{text / 1e6:.1f}", *shares, *times]


def convert(path: Path, writer: PageFileWriter) -> Header:
    program = find_engine()
    assert program is not None
    with path.open("rb") as file, closing(dump(program, file, path.name, "", ChildLimits())) as text:
        for chunk in text:
            writer.feed(chunk)
    return writer.finish()


def read_spans(header: Header, pages: BinaryIO, spans: Iterable[tuple[int, int]]) -> list[bytes]:
    """Read parts of the page file that has `header` and then `pages`."""
    return [span_of(header, pages, start, end) for start, end in spans]


def span_of(header: Header, pages: BinaryIO, start: int, end: int) -> bytes:
    if end <= len(header.raw):
        return header.raw[start:end]
    pages.seek(start - len(header.raw))
    return pages.read(end - start)


def cost(make: Callable[[], Iterator[bytes]]) -> tuple[int, float]:
    """Return the bytes of some chunks, and the CPU seconds that they take."""
    before = time.process_time()
    size = sum(map(len, make()))
    return size, time.process_time() - before


if __name__ == "__main__":
    main()

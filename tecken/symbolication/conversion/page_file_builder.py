"""A limit on the address space that a piece of work may add to its process."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, cast

from tecken.errors import CouldNotAsk, TooMuch
from tecken.symbols.pagefile.convert import Converter, decoded
from tecken.symbols.pagefile.file import Header

_STATM = Path("/proc/self/statm")


@contextmanager
def added_memory(limit: int | None) -> Iterator[None]:
    """Let the process have `limit` bytes of address space more than now; beyond that is a MemoryError.

    The limit is one of the whole process: it is for processes that do one job at a time. None, and a system
    without /proc, mean no limit. A lower limit that is already set stays.
    """
    if limit is None or not _STATM.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(_STATM.read_text().split()[0])
    wanted = pages * resource.getpagesize() + limit
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


COPY_BYTES = 1024 * 1024

# Address space that one conversion may add to a worker. The costliest file that the bounds of
# `tecken.symbols` allow takes less than 400 MiB (three kinds of records, 4 M of each, none in order); a real
# library of 50 MB takes 45. The rest is for stacks and heaps of the threads that compress, which are reserved
# and hardly used.
MAX_MEMORY_BYTES = 1024 * 1024 * 1024


class Converted(NamedTuple):
    header: Header
    pages: BinaryIO

    def chunks(self) -> Iterator[bytes]:
        """The page file."""
        self.pages.seek(0)
        return chain([self.header.raw], iter(partial(self.pages.read, COPY_BYTES), b""))


class Conversion:
    """Conversions in this process.

    `max_bytes()` bounds one symbol file, unpacked, and so each of two nameless files in `spool_dir`.
    `max_memory` bounds the address space that a conversion adds to the process, which must then convert one
    file at a time.
    """

    def __init__(
        self, max_bytes: Callable[[], int], spool_dir: str | None = None, max_memory: int | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._spool_dir = spool_dir
        self._max_memory = max_memory

    def text(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Unpacked, from plain, gzip or zstd. Raises Malformed, TooMuch, and what `chunks` raises."""
        return decoded(chunks, self._max_bytes())

    @contextmanager
    def of(self, chunks: Iterable[bytes]) -> Iterator[Converted]:
        """Raises Malformed, TooMuch, CouldNotAsk when the disk is full, and what `chunks` raises."""
        with self._file() as spool, self._file() as pages:
            yield Converted(self._converted(chunks, spool, pages), pages)

    def _converted(self, chunks: Iterable[bytes], spool: BinaryIO, pages: BinaryIO) -> Header:
        try:
            with added_memory(self._max_memory):
                return _convert(self.text(chunks), spool, pages)
        except MemoryError:
            limit = (self._max_memory or 0) >> 20
            raise TooMuch(f"symbol file needs more than {limit} MiB of memory to be converted") from None

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        with _room():
            file = cast(BinaryIO, TemporaryFile(dir=self._spool_dir))  # noqa: SIM115 - closed below
        try:
            yield file
        finally:
            # On a full disk the rest of a buffer fails once more, which must not hide the first error.
            with suppress(OSError):
                file.close()


def _convert(text: Iterable[bytes], spool: BinaryIO, pages: BinaryIO) -> Header:
    converter = Converter(spool, pages)
    for chunk in text:
        with _room():
            converter.feed(chunk)
        if converter.complete:  # what follows is for unwinders: it need not even be fetched
            break
    with _room():
        header = converter.finish()
        # Else a full disk would be met only when the pages are read, and count as a fault of this program.
        pages.flush()
    return header


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CouldNotAsk(f"no room to convert in: {error}") from error

"""Construction of one page file in this process, within limits of disk and memory."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from functools import partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile
from threading import Event, Semaphore, Thread
from typing import BinaryIO, NamedTuple, cast

from tecken.errors import Malformed, TooLarge, Unavailable
from tecken.symbols.pagefile.convert import PageFileWriter, ScannedModule, decompress
from tecken.symbols.pagefile.file import Header

# Memory of this process in pages; the first number is its address space (proc_pid_statm(5)).
_STATM = Path("/proc/self/statm")


@contextmanager
def added_memory(limit: int | None) -> Iterator[None]:
    """Limit the address space that the process may add to `limit` bytes; beyond that is a MemoryError.

    The limit applies to the whole process, so it is for processes that do one job at a time. None, and a
    system without /proc, mean no limit. A lower limit that is already set stays.
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

# Chunks of a text in memory that are not scanned yet.
READ_AHEAD = 8

# Address space that one conversion may add to a worker. The most expensive file that the bounds of
# `tecken.symbols` allow takes 540 MiB (three kinds of records, 4 million of each, and 2 million STACK
# records, none in order); a real library of 50 MB takes 45. The rest is for stacks and heaps of the threads
# that compress: they are reserved and hardly used.
MAX_MEMORY_BYTES = 1024 * 1024 * 1024


OnScan = Callable[[PageFileWriter, ScannedModule], None]
"""Called between the scan of a text and the construction of its pages."""


def _ignore_scan(_writer: PageFileWriter, _module: ScannedModule) -> None:
    pass


class Converted(NamedTuple):
    """Result of a conversion: the header, and a temporary file with the compressed pages."""

    header: Header
    pages: BinaryIO

    @property
    def size(self) -> int:
        """Bytes of the page file."""
        return len(self.header.raw) + self.pages.seek(0, 2)

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes of the page file."""
        self.pages.seek(0)
        return chain([self.header.raw], iter(partial(self.pages.read, COPY_BYTES), b""))


class Conversion:
    """Builder of page files in this process.

    `max_bytes()` limits one symbol file, unpacked, and so each of three temporary files in `spool_dir`. They
    have no name, so that a killed process leaves none behind. `max_memory` limits the
    address space that a conversion adds to the process, which must then convert one file at a time.
    """

    def __init__(
        self, max_bytes: Callable[[], int], spool_dir: str | None = None, max_memory: int | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._spool_dir = spool_dir
        self._max_memory = max_memory

    def text(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the unpacked text of plain, gzip or zstd bytes. Raises Malformed, TooLarge."""
        return decompress(chunks, self._max_bytes())

    @contextmanager
    def of(
        self, chunks: Iterable[bytes], on_scan: OnScan = _ignore_scan, native_id: str = ""
    ) -> Iterator[Converted]:
        """Convert a symbol file and give its page file for the time of the context.

        `on_scan` is called when the symbols are scanned; an exception of it ends the conversion. The call
        frame information comes after them. If it cannot be read to its end, the rest of it is left out. With
        a `native_id` the text is that of native files.

        Raises:
            Malformed: It is not a symbol file.
            TooLarge: It exceeds a limit.
            Unavailable: The disk is full.
        """
        with ExitStack() as opened:
            spool, pages, cfi = (opened.enter_context(self._open_temporary_file()) for _ in range(3))
            writer = PageFileWriter(spool, pages, cfi=cfi, native_id=native_id)
            with self._limit_memory():
                _scan(self.text(chunks), writer, on_scan)
                header = _write_pages(writer, pages)
            yield Converted(header, pages)

    def scan(self, chunks: Iterable[bytes], on_scan: OnScan) -> None:
        """Scan a symbol file without making its pages, and call `on_scan`. Raises what `of` raises."""
        with self._open_temporary_file() as spool, self._open_temporary_file() as pages, self._limit_memory():
            _scan(self.text(chunks), PageFileWriter(spool, pages), on_scan)

    @contextmanager
    def _limit_memory(self) -> Iterator[None]:
        try:
            with added_memory(self._max_memory):
                yield
        except MemoryError:
            limit = (self._max_memory or 0) >> 20
            raise TooLarge(f"symbol file needs more than {limit} MiB of memory to be converted") from None

    @contextmanager
    def _open_temporary_file(self) -> Iterator[BinaryIO]:
        with _disk_errors():
            file = cast(BinaryIO, TemporaryFile(dir=self._spool_dir))  # noqa: SIM115 - closed below
        try:
            yield file
        finally:
            # On a full disk, writing the rest of the buffer fails again, which must not hide the first error.
            with suppress(OSError):
                file.close()


def _scan(text: Iterable[bytes], writer: PageFileWriter, on_scan: OnScan) -> None:
    """Read a symbol file, and call `on_scan` when its symbols are complete."""
    is_scanned = False
    with read_ahead(text) as chunks:
        try:
            for chunk in chunks:
                with _disk_errors():
                    writer.feed(chunk)
                    if writer.has_all_symbols and not is_scanned:
                        on_scan(writer, writer.finish_scan())
                        is_scanned = True
                # Without call frame information, the rest is not even fetched.
                if writer.complete:
                    break
        except (Malformed, TooLarge) as error:
            # The symbols are complete, and worth more than the rules of unwinding that are lost.
            if not is_scanned:
                raise
            writer.leave_out_rest(str(error))
    with _disk_errors():
        if not is_scanned:
            on_scan(writer, writer.finish_scan())


def _write_pages(writer: PageFileWriter, pages: BinaryIO) -> Header:
    """Write the pages of a symbol file and return their header."""
    with _disk_errors():
        header = writer.finish()
        # Without it, a full disk would fail only when the pages are read, as an unhandled OSError.
        pages.flush()
    return header


@contextmanager
def read_ahead(chunks: Iterable[bytes]) -> Iterator[Iterator[bytes]]:
    """Give the same chunks, which a thread reads, a few of them in advance.

    To receive and unpack a text takes about as long as to scan it. An error of the source is raised in the
    place of its chunk. At the end of the context the thread stops, after the chunk that it is reading.
    """
    items: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
    room = Semaphore(READ_AHEAD)
    over = Event()

    def read() -> None:
        try:
            for chunk in chunks:
                items.put(chunk)
                room.acquire()
                if over.is_set():
                    return
            items.put(None)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that converts
            items.put(error)

    def taken() -> Iterator[bytes]:
        while (item := items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            room.release()

    # Its log lines belong to the same job.
    thread = Thread(target=copy_context().run, args=[read], name="read ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        over.set()
        room.release()
        thread.join()


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Turn an error of the disk into Unavailable."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"no room to convert in: {error}") from error

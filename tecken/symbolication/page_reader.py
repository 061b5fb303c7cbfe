"""Page files of several modules at once, with a deadline, each failing alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from tecken.errors import Absent, CouldNotAsk, MalformedPageFile
from tecken.storage.port import PageFiles
from tecken.store.port import PageKey
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import PREFIX, Header, header_bytes

T = TypeVar("T")


class Shelf(NamedTuple):
    """Some pages of one page file."""

    module: ObjectId
    header: Header
    pages: list[int]

    def keys(self) -> list[PageKey]:
        return [PageKey(self.module, self.header.generation, page) for page in self.pages]


class _Read(NamedTuple, Generic[T]):
    answer: T | CouldNotAsk | None
    seconds: float


def read_header(page_files: PageFiles, module: ObjectId) -> bytes:
    """Raises Absent, CouldNotAsk, MalformedPageFile.

    The prefix is read again with the rest: between two reads another file may have taken its place.
    """
    (prefix,) = page_files.read(module, [(0, PREFIX)])
    (raw,) = page_files.read(module, [(0, header_bytes(prefix))])
    return raw


def read_pages(page_files: PageFiles, module: ObjectId, header: Header, pages: Sequence[int]) -> list[bytes]:
    """Compressed pages. Raises CouldNotAsk, and Absent when this page file is there no more."""
    found = page_files.read(module, [header.span(page) for page in pages])
    (start,) = page_files.read(module, [(0, PREFIX)])  # afterwards: what was read until now is this file's
    if start != header.raw[:PREFIX]:
        raise Absent(f"{module} has another page file now")
    return found


class PageFileReader:
    """`seconds` is for all modules of one call together; a slower read keeps its thread until it ends."""

    def __init__(self, page_files: PageFiles, threads: int = 8, seconds: float = 10.0) -> None:
        self._page_files = page_files
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="page-file")

    def headers(self, modules: Sequence[ObjectId], trace: Trace) -> list[bytes | CouldNotAsk | None]:
        """Raw headers in the order asked for; None where there is no page file of our format version."""
        reads = [partial(read_header, self._page_files, module) for module in modules]
        answers = self._each(reads)
        for module, read in zip(modules, answers, strict=True):
            trace.downloaded(module, len(read.answer) if isinstance(read.answer, bytes) else 0, read.seconds)
        return [read.answer for read in answers]

    def pages(self, wanted: Sequence[Shelf], trace: Trace) -> list[list[bytes] | CouldNotAsk | None]:
        """Compressed pages in the order asked for; None where the page file is another one or gone."""
        answers = self._each([partial(read_pages, self._page_files, *shelf) for shelf in wanted])
        for shelf, read in zip(wanted, answers, strict=True):
            size = sum(map(len, read.answer)) if isinstance(read.answer, list) else 0
            trace.downloaded(shelf.module, size, read.seconds)
        return [read.answer for read in answers]

    def _each(self, reads: Sequence[Callable[[], T]]) -> list[_Read[T]]:
        futures = [self._pool.submit(_timed, read) for read in reads]
        wait(futures, self._seconds)
        return [self._result(future) for future in futures]

    def _result(self, future: Future[_Read[T]]) -> _Read[T]:
        if future.done():
            return future.result()
        future.cancel()
        return _Read(CouldNotAsk(f"page file did not come in {self._seconds:g} s"), self._seconds)


def _timed(read: Callable[[], T]) -> _Read[T]:
    start = time.perf_counter()
    answer: T | CouldNotAsk | None
    try:
        answer = read()
    except (Absent, MalformedPageFile):
        answer = None
    except CouldNotAsk as error:
        answer = error
    return _Read(answer, time.perf_counter() - start)

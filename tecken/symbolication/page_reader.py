"""Reader of several modules' page files at once, with one deadline; each module fails separately."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from tecken.errors import MalformedPageFile, NotFound, Unavailable
from tecken.storage.port import PageFiles
from tecken.store.port import PageKey
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile import file
from tecken.symbols.pagefile.file import Header

T = TypeVar("T")


class PageBatch(NamedTuple):
    """Some pages of one page file."""

    module: ObjectId
    header: Header
    pages: list[int]

    def keys(self) -> list[PageKey]:
        """Return the pages' keys in the store."""
        return [PageKey(self.module, self.header.generation, page) for page in self.pages]


class _Result(NamedTuple, Generic[T]):
    """Value or failure of one read, None for "no page file", and the time that it took."""

    value: T | Unavailable | None
    seconds: float


def read_header(page_files: PageFiles, module: ObjectId) -> bytes:
    """Return the bytes of a page file's header.

    Raises:
        NotFound: There is no page file.
        Unavailable: The storage does not respond.
        MalformedPageFile: It is not a page file of this format version.
    """
    return file.read_header(partial(page_files.read, module))


def read_pages(page_files: PageFiles, module: ObjectId, header: Header, pages: Sequence[int]) -> list[bytes]:
    """Return compressed pages of the page file that `header` is from.

    Raises:
        NotFound: The page file was deleted or replaced.
        Unavailable: The storage does not respond.
    """
    if native_id := header.metadata.native_id:
        # The page file of a name of native files is a copy of this header, without the pages.
        module = ObjectId.without_name(native_id, is_try=module.is_try)
    return file.read_pages(partial(page_files.read, module), header, pages)


class PageFileReader:
    """Reader of page files in a pool of threads.

    `seconds` is the time for all modules of one call together. A slower read is abandoned but keeps its
    thread until it ends.
    """

    def __init__(self, page_files: PageFiles, threads: int = 8, seconds: float = 10.0) -> None:
        self._page_files = page_files
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="page-file")

    def headers(self, modules: Sequence[ObjectId], trace: Trace) -> list[bytes | Unavailable | None]:
        """Return each module's header as bytes; None where there is no page file of this format version."""
        results = self._run_all([partial(read_header, self._page_files, module) for module in modules])
        for module, result in zip(modules, results, strict=True):
            size = len(result.value) if isinstance(result.value, bytes) else 0
            trace.add_download(module, size, result.seconds)
        return [result.value for result in results]

    def pages(self, wanted: Sequence[PageBatch], trace: Trace) -> list[list[bytes] | Unavailable | None]:
        """Return the compressed pages of each batch; None where its page file was deleted or replaced."""
        results = self._run_all([partial(read_pages, self._page_files, *batch) for batch in wanted])
        for batch, result in zip(wanted, results, strict=True):
            size = sum(map(len, result.value)) if isinstance(result.value, list) else 0
            trace.add_download(batch.module, size, result.seconds)
        return [result.value for result in results]

    def _run_all(self, reads: Sequence[Callable[[], T]]) -> list[_Result[T]]:
        futures = [self._pool.submit(_time, read) for read in reads]
        # One deadline for all: waiting for each in turn would add up the time of every slow read.
        wait(futures, self._seconds)
        return [self._collect(future) for future in futures]

    def _collect(self, future: Future[_Result[T]]) -> _Result[T]:
        """Return the result of a read, or Unavailable when it has not ended."""
        if future.done():
            return future.result()
        future.cancel()
        return _Result(Unavailable(f"page file did not come in {self._seconds:g} s"), self._seconds)


def _time(read: Callable[[], T]) -> _Result[T]:
    start = time.perf_counter()
    value: T | Unavailable | None
    try:
        value = read()
    except (NotFound, MalformedPageFile):
        value = None
    except Unavailable as error:
        value = error
    return _Result(value, time.perf_counter() - start)

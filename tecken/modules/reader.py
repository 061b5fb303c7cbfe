"""Page files of several modules at once, with a deadline, each failing alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeVar

from tecken.errors import CouldNotAsk, TeckenError
from tecken.modules.trace import Trace
from tecken.sources.port import PageFiles
from tecken.symbols.ids import ModuleKey
from tecken.symbols.pagefile import Header, header_bytes

FIRST_READ = 256 * 1024  # the header of a 180 MB symbol file has about 200 KB
PREFIX = 64

T = TypeVar("T")


class PageFileReader:
    """`seconds` is for all modules of one call together; a read that takes longer keeps its thread until it ends."""

    def __init__(self, page_files: PageFiles, threads: int, seconds: float) -> None:
        self._page_files = page_files
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="page-files")

    def headers(self, modules: Sequence[ModuleKey], trace: Trace) -> dict[ModuleKey, bytes | TeckenError]:
        """Raw headers, or why not: Absent, CouldNotAsk, MalformedPageFile."""
        reads = {module: lambda module=module: read_header(self._page_files, module) for module in modules}
        return self._each(reads, trace, len)

    def pages(
        self, wanted: Mapping[ModuleKey, tuple[Header, Sequence[int]]], trace: Trace
    ) -> dict[ModuleKey, list[bytes] | TeckenError]:
        """Compressed pages in the order asked for, or why not: Absent when it is no longer this page file."""

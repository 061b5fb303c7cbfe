"""First use of what a symbolication needs, before the first request or job of a process.

Whatever a process uses for the first time takes longer: imports, connections, threads, code that was never
run, memory that was never touched. So a process symbolicates a made-up module, and looks for it everywhere,
before it accepts requests or jobs. No server has the module. The objects that count requests are replaced or
not called, so that nothing appears in statistics, and every read is one that changes nothing.

No step may prevent or delay a start: all of them together have WARM_UP_SECONDS, and their errors are ignored.
The first request or job that needs a server reports that it does not answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from io import BytesIO
from threading import Thread
from typing import Final, NamedTuple

import orjson
from httpcore import MockBackend

from tecken.errors import StoreUnavailable
from tecken.jobs import sending
from tecken.redisclient.services import cache_client, cache_guard, counters_client, queue_client
from tecken.storage import services as storage_services
from tecken.storage.upstreams.http import HttpTransport
from tecken.store import services as store_services
from tecken.store.access_counts import AccessSample, HitCounts, InstrumentedStore
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbolication import services
from tecken.symbolication.api.answer import V5
from tecken.symbolication.api.schema import RequestLimits, v5_jobs
from tecken.symbolication.loader import SymbolLoader
from tecken.symbolication.memory_cache import FrameCache, HeaderCache, PageCache
from tecken.symbolication.page_reader import PageFileReader
from tecken.symbolication.service import Parts, resolve
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.convert import PageFileWriter, ScannedModule
from tecken.symbols.pagefile.file import Header

logger = logging.getLogger(__name__)

THREAD: Final = "warm-up"
# httpx logs each request.
logging.getLogger("httpx").addFilter(lambda record: record.threadName != THREAD)

WARM_UP_SECONDS: Final = 2.0
"""Celery ends a process of a worker that takes four seconds to start."""

MODULE: Final = ObjectId("warm-up", "B0A5E1D57C6F4F0C9C1F7D2E8A3B64910")
FUNCTIONS: Final = 40
FUNCTION_BYTES: Final = 0x100
LINES: Final = 60
CACHE_BYTES: Final = 1 << 20

Step = Callable[[], object]


def warm_up_web_process() -> Thread:
    """Prepare a web process for its first request. Return the thread, which still runs if a step is slow."""
    return _run([symbolicate, _look_for_module, sending.connect, _read_page_file])


def warm_up_worker_process() -> Thread:
    """Prepare a process of a worker for its first job; see `warm_up_web_process`."""
    # Each builds the clients of storage and upstreams, with their certificates.
    services.worker()
    services.try_worker()
    return _run([_connect_to_queue, _convert, _read_storage])


def _run(steps: Sequence[Step]) -> Thread:
    thread = Thread(target=_run_each, args=[steps], name=THREAD, daemon=True)
    thread.start()
    thread.join(WARM_UP_SECONDS)
    return thread


def _run_each(steps: Sequence[Step]) -> None:
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a process must start without any of them
            logger.debug("Cannot prepare this process: %r; its first request takes longer", error)


# Steps of a web process


def symbolicate() -> bytes:
    """Return the answer to a request for the made-up module.

    It makes the first answer for a module in the store faster: lookup, rendering, and the connection to
    redis-store, which is asked for the same keys.
    """
    store = _MadeUpStore(store_services.page_store())
    loader = SymbolLoader(
        InstrumentedStore(store, AccessSample(counters_client(), cache_guard())),
        PageFileReader(storage_services.request_page_files()),
        HeaderCache(CACHE_BYTES, lambda: WARM_UP_SECONDS),
        PageCache(CACHE_BYTES),
        HitCounts(cache_client(), cache_guard()).note,
    )
    parts = Parts(loader, services.conversion_queue(), FrameCache(CACHE_BYTES), WARM_UP_SECONDS)
    stack = [[0, number * FUNCTION_BYTES] for number in range(FUNCTIONS)]
    body = orjson.dumps({"memoryMap": [list(MODULE)], "stacks": [stack]})
    jobs = v5_jobs(body, RequestLimits(1, FUNCTIONS))
    return b"".join(V5().answer(resolve(parts, V5(), jobs, Trace())))


def _look_for_module() -> None:
    """Make the first request for a cold module faster: connection to redis-cache, clients of upstreams."""
    services.conversion_tracker().get([MODULE])
    services.known_absent([MODULE])


def _read_page_file() -> None:
    """Make the first request for a cold module faster: its page file is read before a job is sent.

    This is the last step, because a storage may take seconds to answer.
    """
    services.symbol_loader().headers([MODULE], Trace())


# Steps of a worker's process


def _connect_to_queue() -> None:
    """Make the first job faster: it counts its start, takes its lock and reads the store."""
    for client in (cache_client(), queue_client()):
        cache_guard().call(client.ping)
    with suppress(StoreUnavailable):
        store_services.page_store().headers([MODULE])


def _convert() -> None:
    """Make the first conversion faster: HTTP, reading ahead, the scan, early frames, compression."""

    def on_scan(writer: PageFileWriter, _module: ScannedModule) -> None:
        list(writer.frames_at([0]))

    text = _symbol_text()
    received = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text), text]
    # An upstream without a server: it reads what has been received.
    upstream = HttpTransport("http://warm-up/", sockets=MockBackend(received))
    # The builder of the worker limits the memory of the whole process, which only one conversion may do.
    with closing(upstream), upstream.get("") as chunks, services.page_file_builder().of(chunks, on_scan):
        pass


def _read_storage() -> None:
    """Make the first job faster: it compares the symbol file of our own storage before and after."""
    storage_services.own_stamp(MODULE)


# The made-up module


class _PageFile(NamedTuple):
    header: Header
    pages: Mapping[PageKey, bytes]


class _MadeUpStore(MemoryPageStore):
    """Store with the made-up module, which asks another store first."""

    def __init__(self, other: PageStore) -> None:
        super().__init__(CACHE_BYTES)
        self._other = other
        header, pages = _page_file()
        self.put_header(MODULE, header.raw)
        self.put_pages(pages)

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """Return the header."""
        with suppress(StoreUnavailable):
            self._other.headers(modules)
        return super().headers(modules)

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages."""
        with suppress(StoreUnavailable):
            self._other.pages(wanted)
        return super().pages(wanted)


@cache
def _page_file() -> _PageFile:
    out = BytesIO()
    writer = PageFileWriter(BytesIO(), out)
    writer.feed(_symbol_text())
    header = writer.finish()
    raw = header.raw + out.getvalue()
    spans = map(header.span, range(header.page_count))
    key = partial(PageKey, MODULE, header.generation)
    return _PageFile(header, {key(number): raw[slice(*span)] for number, span in enumerate(spans)})


def _symbol_text() -> bytes:
    """Return a symbol file whose functions have lines and an inlined call."""
    lines = [f"MODULE Linux x86_64 {MODULE.debug_id} {MODULE.debug_file}"]
    lines += [f"FILE {number} warm_up_{number}.cpp" for number in range(FUNCTIONS)]
    lines += [f"INLINE_ORIGIN {number} warm_up::inlined_{number}()" for number in range(FUNCTIONS)]
    for number in range(FUNCTIONS):
        start = number * FUNCTION_BYTES
        lines.append(f"FUNC {start:x} {FUNCTION_BYTES:x} 0 warm_up::function_{number}()")
        lines.append(f"INLINE 0 1 {number} {number} {start:x} {LINES:x}")
        lines += [f"{start + line:x} 1 {line + 1} {number}" for line in range(LINES)]
    return "\n".join([*lines, ""]).encode()

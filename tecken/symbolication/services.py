"""Long-lived objects of symbolication: loader, caches, conversion queue and converters."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

from django.conf import settings

from tecken import waiting
from tecken.errors import StoreUnavailable, Unavailable
from tecken.jobs import sending
from tecken.jobs.sending import FIRST, LAST, NEXT, JobRequest
from tecken.redisclient.services import cache_client, cache_guard
from tecken.runtimeconfig.current import on_change, options
from tecken.services import per_process
from tecken.storage import services as storage_services
from tecken.storage.port import SymbolSource
from tecken.store import services as store_services
from tecken.store.port import Missing, PageKey
from tecken.symbolication.conversion.converter import (
    Converter,
    EarlyPublisher,
    FetchRecords,
    Importer,
    MissingLifetimes,
    ModuleInvalidator,
    Register,
)
from tecken.symbolication.conversion.lock import RedisConversionLock
from tecken.symbolication.conversion.page_file_builder import MAX_MEMORY_BYTES, Conversion
from tecken.symbolication.conversion.queue import (
    CeleryConversionQueue,
    ConversionWorker,
    InlineConversionQueue,
    PageFileRenewal,
    ResultSignals,
)
from tecken.symbolication.conversion.reconversion import OutdatedModules
from tecken.symbolication.conversion.status import RedisConversionTracker
from tecken.symbolication.explain import Explainer
from tecken.symbolication.invalidation import InvalidationPublisher, InvalidationSubscriber
from tecken.symbolication.loader import SymbolLoader
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbolication.page_reader import PageFileReader
from tecken.symbols.ids import TRY, ObjectId

# Task names are on the wire: jobs of a previous version may be in the queue.
PREPARE_TASK = "tecken.symbolicate.tasks.prepare"
CONVERT_TASK = "tecken.symbolicate.tasks.convert"
# A request waits for seconds, so an older job has no request that waits for it.
TASK_EXPIRES_SECONDS = 600


# Loading of symbols


@per_process
def header_cache() -> HeaderCache:
    """Return this process's cache of headers."""
    return HeaderCache(options().process_header_bytes, lambda: options().process_header_seconds)


@per_process
def page_cache() -> PageCache:
    """Return this process's cache of pages."""
    return PageCache(options().process_page_bytes)


@per_process
def symbol_loader() -> SymbolLoader:
    """Return the loader of headers and pages, which follows the invalidations of all processes."""
    # `per_process` builds another one after a fork: the subscriber's thread exists in the parent only.
    loader = SymbolLoader(
        store_services.counted_page_store(),
        PageFileReader(storage_services.request_page_files()),
        header_cache(),
        page_cache(),
        _note_lookup,
        renew=page_file_renewal().renew,
    )
    on_change("process_header_bytes", lambda size: header_cache().resize(size))
    on_change("process_page_bytes", lambda size: page_cache().resize(size))
    InvalidationSubscriber(cache_client(), loader, on_result=result_signals().notify).start()
    return loader


def _note_lookup(requested: Collection[PageKey], found: Collection[PageKey]) -> None:
    """Count the lookup of pages, and note their modules.

    A process looks up pages of a module whenever its symbols are new to it, so no use after an upload is
    missed.
    """
    store_services.hit_counts().note(requested, found)
    storage_services.note_uses({key.module for key in requested})


@per_process
def result_signals() -> ResultSignals:
    """Return the wake-ups of the requests that wait for modules; the loader's subscriber sends them."""
    return ResultSignals()


@per_process
def page_file_renewal() -> PageFileRenewal:
    """Return the renewal of page files of an older format version."""
    return PageFileRenewal(conversion_tracker().claim_renewals, send_renewals)


@per_process
def invalidation_publisher() -> InvalidationPublisher:
    """Return the publisher of modules whose symbols have changed."""
    return InvalidationPublisher(cache_client(), cache_guard())


# Conversion


@per_process
def conversion_lock() -> RedisConversionLock:
    """Return the lock under which one process of the fleet converts a module."""
    return RedisConversionLock(cache_client(), cache_guard(), patience=settings.CONVERT_TIME_LIMIT_SECONDS)


@per_process
def page_file_builder() -> Conversion:
    """Return the builder of page files for commands and uploads."""
    return Conversion(_symbol_bytes, settings.SPOOL_DIR)


@per_process
def worker_page_file_builder() -> Conversion:
    """Return the builder for a worker's process.

    A worker does one job at a time, so its memory can be limited. A demo is one process that does everything,
    so it has no such limit.
    """
    max_memory = None if settings.DEMO_MODE else MAX_MEMORY_BYTES
    return Conversion(_symbol_bytes, settings.SPOOL_DIR, max_memory)


@per_process
def converter() -> Converter:
    """Return the converter of regular modules."""
    return _build_converter(storage_services.symbol_search(), storage_services.own_stamp, page_file_builder())


@per_process
def try_converter() -> Converter:
    """Return the converter of modules of try builds."""
    return _build_converter(
        storage_services.try_symbol_search(), storage_services.try_stamp, page_file_builder()
    )


def _build_converter(
    source: SymbolSource,
    stamp: Callable[[ObjectId], object],
    builder: Conversion,
    early: EarlyPublisher | None = None,
) -> Converter:
    return Converter(
        source=source,
        stamp=stamp,
        page_files=storage_services.page_files(),
        store=store_services.page_store(),
        lock=conversion_lock(),
        conversion=builder,
        lifetimes=_missing_lifetimes,
        register=_register_name(),
        early=early,
        fetched=_fetch_records(),
    )


def _register_name() -> Register:
    # Models can be imported only after Django has loaded its applications.
    from tecken.storage.native import register_name  # noqa: PLC0415

    return register_name


def _fetch_records() -> FetchRecords:
    from tecken.symbolication.fetched import FetchedRecords  # noqa: PLC0415 - as in `_register_name`

    return FetchedRecords()


def _symbol_bytes() -> int:
    return options().symbol_max_bytes


def _missing_lifetimes() -> MissingLifetimes:
    values = options()
    return MissingLifetimes(values.absent_seconds, values.malformed_seconds, values.unreachable_seconds)


@per_process
def conversion_tracker() -> RedisConversionTracker:
    """Return the shared state of conversions."""
    return RedisConversionTracker(cache_client(), cache_guard())


@per_process
def conversion_queue() -> CeleryConversionQueue:
    """Return the queue to the workers, for web processes, which never convert."""
    return CeleryConversionQueue(
        conversion_tracker(),
        send_prepares,
        _places_per_client,
        known_absent,
        result_signals(),
        wait=waiting.wait,
        sleep=waiting.sleep,
    )


def _places_per_client() -> int:
    """Return how many cold modules of one client workers may have at a time."""
    return options().symbolicate_client_cold_modules


def known_absent(modules: Sequence[ObjectId]) -> dict[ObjectId, Missing]:
    """Return modules that need no job, because every source has recently answered that it does not have them.

    The store has the same result as a missing marker. This is for the case that the store has evicted it or
    is unavailable: otherwise each request would send jobs for the same absent modules.
    """
    sources = [source.name for source in storage_services.symbol_search().sources]
    return storage_services.lookup_log().absent(modules, sources)


@per_process
def inline_conversion() -> InlineConversionQueue:
    """Return the conversion in the calling process, for commands, which need no worker."""
    return InlineConversionQueue(converter())


@per_process
def worker() -> ConversionWorker:
    """Return the worker's side of the conversion of regular modules."""
    return _build_worker(storage_services.symbol_search(), storage_services.own_stamp)


@per_process
def try_worker() -> ConversionWorker:
    """Return the worker's side of the conversion of modules of try builds."""
    return _build_worker(storage_services.try_symbol_search(), storage_services.try_stamp)


def _build_worker(source: SymbolSource, stamp: Callable[[ObjectId], object]) -> ConversionWorker:
    tracker = conversion_tracker()
    converter = _build_converter(source, stamp, worker_page_file_builder(), EarlyPublisher(tracker))
    return ConversionWorker(tracker, converter)


def worker_of(module: ObjectId) -> ConversionWorker:
    """Return the worker's side for the scope of `module`."""
    return try_worker() if module.is_try else worker()


@per_process
def importer() -> Importer:
    """Return the importer of symbol files for commands."""
    return Importer(
        files=storage_services.own_files(),
        page_files=storage_services.page_files(),
        store=store_services.page_store(),
        lock=conversion_lock(),
        conversion=page_file_builder(),
        publish=invalidation_publisher().publish,
        forget_file=storage_services.presence_cache().forget_file,
    )


# Changed symbol files


def invalidate_module(module: ObjectId, *, converts: bool = True) -> None:
    """Remove everything derived from former symbols of `module`; see `ModuleInvalidator.invalidate`.

    With `converts` it may be converted ahead of demand. Regular and try symbols are separate:
    `module.in_try()` leaves the regular module as it is.
    """
    # The last search may have ended with "absent", which would keep the module absent without a job.
    with suppress(Unavailable):
        storage_services.lookup_log().forget(module)
    is_eager = converts and options().upload_convert_ahead
    (_eager_invalidator() if is_eager else _lazy_invalidator()).invalidate(module)


def remove_derived(module: ObjectId) -> None:
    """Remove everything derived from a symbol file that was deleted."""
    _lazy_invalidator().invalidate(module)


def invalidate_native(
    native_ids: Collection[str], other_ids: Iterable[str] = (), *, is_try: bool, converts: bool = True
) -> None:
    """Remove everything derived from native files of these debug ids in one scope, under every name.

    Call it after the rows of the changed files are written. Names are those that have a page file, of former
    files or of an upstream, and those for which the last search found nothing, maybe by one of `other_ids`:
    the build id or code id.

    Raises:
        Unavailable: A page file may still exist; see `ModuleInvalidator.invalidate`.
    """
    from tecken.storage.native import registered_names  # noqa: PLC0415 - as in `_register_name`
    from tecken.symbolication.fetched import fetched_names, forget  # noqa: PLC0415 - as in `_register_name`

    some_ids = [*native_ids, *other_ids]
    fetched = set() if is_try else fetched_names(some_ids)
    searched: set[ObjectId] = set()
    with suppress(Unavailable):
        searched = storage_services.lookup_log().absent_names(some_ids)
    nameless = {ObjectId.without_name(native_id, is_try=is_try) for native_id in native_ids}
    searched = {module for module in searched if module.is_try == is_try}
    # Those of the ids first: see `Converter`.
    for module in nameless:
        (invalidate_module if converts else remove_derived)(module)
    for module in (registered_names(native_ids, is_try=is_try) | searched | fetched) - nameless:
        with suppress(Unavailable):
            storage_services.lookup_log().forget(module)
        remove_derived(module)
    forget(fetched)


def note_build_ids(build_ids: Sequence[str]) -> None:
    """Keep the whole build ids that a request carries, for upstreams that need them. Raises nothing.

    Modules that were absent for lack of one are searched again.
    """
    if not build_ids or not storage_services.needs_build_ids():
        return
    new = storage_services.build_ids().note(build_ids)
    with suppress(Unavailable):
        for module in storage_services.lookup_log().absent_names(new) if new else ():
            storage_services.lookup_log().forget(module)
            conversion_tracker().forget(module)
            with suppress(StoreUnavailable):
                store_services.page_store().forget(module)


def convert_for_download(module: ObjectId, client: str) -> None:
    """Have a module converted for a client that waits for its text.

    Raises Unavailable, also when it is late.
    """
    deadline = time.monotonic() + options().symbolicate_deadline_seconds
    outcome = conversion_queue().convert_and_wait([module], deadline, client).get(module)
    if isinstance(outcome, Unavailable):
        raise outcome


@per_process
def _eager_invalidator() -> ModuleInvalidator:
    return _build_invalidator(send_convert)


@per_process
def _lazy_invalidator() -> ModuleInvalidator:
    """Return an invalidator that does not convert ahead of demand."""
    return _build_invalidator(lambda _module: None)


def _build_invalidator(send: Callable[[ObjectId], None]) -> ModuleInvalidator:
    return ModuleInvalidator(
        page_files=storage_services.page_files(),
        store=store_services.page_store(),
        tracker=conversion_tracker(),
        publish=invalidation_publisher().publish,
        send=send,
    )


def outdated_modules() -> OutdatedModules:
    """Return the search for modules that the engine in use would convert better than the one before.

    Raises Unavailable if there is no engine, or if it does not work.
    """
    version = storage_services.engine_version()
    return OutdatedModules(storage_services.page_files(), version, storage_services.find_native_module)


def reconvert_module(module: ObjectId) -> None:
    """Convert a module without a name again, with the engine in use, and remove what its names derived.

    Raises the errors of `Converter.reconvert`; the old page files stay then.
    """
    from tecken.storage.native import registered_names  # noqa: PLC0415 - as in `_register_name`

    (try_converter() if module.is_try else converter()).reconvert(module)
    invalidation_publisher().publish(module)
    # The next request for a name copies the header of the new page file.
    for name in registered_names([module.debug_id], is_try=module.is_try):
        remove_derived(name)


# Explanations


@per_process
def explainer() -> Explainer:
    """Return the explanation of where a module's symbols are or why they are missing."""
    return Explainer(
        search=storage_services.search(),
        page_files=storage_services.request_page_files(),
        store=store_services.page_store(),
        tracker=conversion_tracker(),
        lookup_log=storage_services.lookup_log(),
        presence_cache=storage_services.presence_cache(),
        # Without `known_absent`, because a user who requests another search wants a worker to search.
        queue=CeleryConversionQueue(conversion_tracker(), send_prepares, _places_per_client),
    )


# Jobs


def send_prepares(modules: Sequence[ObjectId], *, first: bool) -> None:
    """Send a job for each module, the first one ahead of all others with `first`. Raises Unavailable."""
    priorities = [FIRST if first else NEXT, *[NEXT] * (len(modules) - 1)]
    pairs = zip(modules, priorities, strict=True)
    sending.send_all(
        [
            JobRequest(PREPARE_TASK, _arguments(module), TASK_EXPIRES_SECONDS, priority)
            for module, priority in pairs
        ]
    )


def send_convert(module: ObjectId) -> None:
    """Send a job ahead of demand, behind every job that a request waits for. Raises Unavailable."""
    sending.send(CONVERT_TASK, _arguments(module), priority=LAST)


def send_renewals(modules: Sequence[ObjectId]) -> None:
    """Send a job for each module, behind every job that a request waits for. Raises Unavailable."""
    sending.send_all([JobRequest(CONVERT_TASK, _arguments(module), priority=LAST) for module in modules])


def _arguments(module: ObjectId) -> list[str]:
    names = [module.debug_file, module.debug_id]
    return [*names, TRY] if module.is_try else names

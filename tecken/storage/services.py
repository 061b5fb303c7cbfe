"""The storages, upstreams and caches of lookups of this process, from the settings and the live options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from subprocess import SubprocessError
from tempfile import gettempdir
from urllib.parse import unquote, urlsplit

from django.conf import settings

from tecken.errors import Unavailable
from tecken.limits.usage import start_sender
from tecken.redisclient.services import cache_client, cache_guard
from tecken.runtimeconfig.current import options
from tecken.services import per_process
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.files import ObjectFiles, ObjectPageFiles, Staging, stored_symbols
from tecken.storage.build_ids import BuildIds
from tecken.storage.cabinets import UnpackRules
from tecken.storage.disk import DiskSpace, Volume
from tecken.storage.dump import find_engine
from tecken.storage.former_misses import FormerMisses, watched_id
from tecken.storage.lookup_log import LookupLog
from tecken.storage.miss_counts import Miss, MissBatch, MissCounts, Requester
from tecken.storage.port import FetchLimits, NativeStamp, PageFiles, Stored, Upstream
from tecken.storage.presence_cache import PresenceCache, PresenceLifetimes
from tecken.storage.search import Search
from tecken.storage.source_chain import Off, SourceChain, SwitchableSource
from tecken.storage.upstreams.bucket import BucketTransport
from tecken.storage.upstreams.entry import PRESETS, UpstreamEntry, join_platforms
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.layouts import LAYOUTS
from tecken.storage.upstreams.native import NativeReader
from tecken.storage.upstreams.native_upstream import NativeUpstream
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.storage.upstreams.transport import FileTransport
from tecken.symbols.ids import ObjectId

Limits = Callable[[], FetchLimits]
# A person waits for pages, so these deadlines are short.
PAGE_LIMITS: Limits = partial(FetchLimits, timeout=3.0, deadline=10.0)


def upstream_for(url: str, limits: Limits = FetchLimits) -> Upstream:
    """Return the upstream that an entry of SYMBOL_SOURCES names.

    Raises ValueError, without credentials in its text, for a URL of another kind.
    """
    entry = UpstreamEntry.parse(url)
    entry.check()
    transport = _transport_for(entry, limits)
    if not entry.protocol:
        return SymbolFileUpstream(transport)
    reader = NativeReader(transport, find_engine(), lambda: unpack_rules(limits()))
    return NativeUpstream(LAYOUTS[entry.protocol], reader, lambda some_id: build_ids().find(some_id))


def _transport_for(entry: UpstreamEntry, limits: Limits) -> FileTransport:
    if entry.is_http:
        return HttpTransport(entry.place_url, limits)
    return BucketTransport(bucket_for(entry.place_url, limits, create=False), limits)


def upstreams_for(urls: Iterable[str], limits: Limits, off: Off) -> tuple[SwitchableSource, ...]:
    """Return upstreams that can be disabled, in order. Raises ValueError as `upstream_for` does."""
    return tuple(SwitchableSource(upstream_for(url, limits), url, off) for url in urls)


def unpack_rules(limits: FetchLimits) -> UnpackRules:
    """Return the limits of a native file of an upstream."""
    return UnpackRules(limits.max_bytes, options().upload_max_ratio, disk_space().check)


def own_files_for(url: str, limits: Limits = FetchLimits) -> ObjectFiles:
    """Return our storage of uploaded files. Raises ValueError as `upstream_for` does."""
    return ObjectFiles(bucket_for(url, limits))


def page_files_for(url: str, limits: Limits = PAGE_LIMITS) -> PageFiles:
    """Return our storage of page files. Raises ValueError as `upstream_for` does."""
    return ObjectPageFiles(bucket_for(url, limits))


# Objects of this process


def fetch_limits() -> FetchLimits:
    """Return the deadlines and the size limit of one fetch that are in force."""
    current = options()
    return FetchLimits(
        current.source_timeout_seconds, current.source_deadline_seconds, current.symbol_max_bytes
    )


def upstreams_off() -> tuple[str, ...]:
    """Return the upstreams that are switched off, by parts of their URLs."""
    return options().sources_off


@per_process
def own_files() -> ObjectFiles:
    """Return the storage of regular uploads."""
    return own_files_for(settings.STORAGE_URL, fetch_limits)


@per_process
def try_files() -> ObjectFiles:
    """Return the storage of uploads from try builds."""
    url = settings.TRY_STORAGE_URL or f"{settings.STORAGE_URL.rstrip('/')}/try"
    return own_files_for(url, fetch_limits)


def select_files(try_symbols: bool) -> ObjectFiles:
    """Return the storage of regular files or of try symbols."""
    return try_files() if try_symbols else own_files()


@per_process
def staging() -> Staging:
    """Return the storage of files whose upload is not complete."""
    return Staging(bucket_for(settings.STORAGE_URL, fetch_limits))


@per_process
def page_files() -> PageFiles:
    """Return the page files for writers, and for reading a whole header without a waiting client."""
    return page_files_for(settings.STORAGE_URL, fetch_limits)


@per_process
def request_page_files() -> PageFiles:
    """Return the page files for requests, with the short deadline of a waiting client."""
    return page_files_for(settings.STORAGE_URL)


@per_process
def disk_space() -> DiskSpace:
    """Return the free space of the directories of this process, to check before a large body is accepted."""
    directories = {"temporary_files": Path(settings.SPOOL_DIR or gettempdir())}
    for name, url in {"storage": settings.STORAGE_URL, "try_storage": settings.TRY_STORAGE_URL}.items():
        if url.startswith("file:"):
            directories[name] = Path(unquote(urlsplit(url).path))
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3") and (file := Path(database["NAME"])).is_absolute():
        directories["database"] = file.parent
    return DiskSpace(Volume(name, path) for name, path in directories.items())


@per_process
def upstreams() -> tuple[SwitchableSource, ...]:
    """Return the upstreams in the order in which they are searched: the only ones of this process."""
    presets = [PRESETS[name] for name in settings.SYMBOL_PRESETS]
    entries = [*join_platforms(settings.SYMBOL_SOURCES), *presets]
    return upstreams_for(entries, fetch_limits, upstreams_off)


@per_process
def build_ids() -> BuildIds:
    """Return the whole build ids that requests carried."""
    return BuildIds(cache_client(), cache_guard())


def needs_build_ids() -> bool:
    """Return whether an upstream finds ELF files, by whole build ids only."""
    return any(isinstance(source.upstream, NativeUpstream) for source in upstreams())


@per_process
def search() -> Search:
    """Return every place where files may be, in the order in which they are searched."""
    # Models can be imported only after Django has loaded its applications, and log lines import this earlier.
    from tecken.storage.models import module_of  # noqa: PLC0415
    from tecken.storage.native import NativeSymbols, find_elf_key  # noqa: PLC0415

    engine = find_engine()

    def native(files: ObjectFiles) -> NativeSymbols | None:
        return NativeSymbols(files, engine, lambda: options().symbol_max_bytes) if engine else None

    return Search(
        regular=own_files(),
        try_files=try_files(),
        upstreams=upstreams(),
        presence=presence_cache(),
        find_by_code_id=module_of,
        find_by_build_id=find_elf_key,
        native=native(own_files()),
        try_native=native(try_files()),
        page_files=request_page_files(),
        record=lookup_log().note,
    )


def converts_native_files() -> bool:
    """Return whether native files are converted."""
    return search().native is not None


def engine_version() -> str:
    """Return the name and version of the engine for native files. Raises Unavailable without one."""
    engine = find_engine()
    if engine is None:
        raise Unavailable("no engine for native files is installed")
    try:
        return engine.version()
    except (OSError, SubprocessError) as error:
        raise Unavailable(f"the engine for native files does not work: {error}") from error


def find_native_module(module: ObjectId) -> ObjectId | None:
    """Return the module without a name whose native files have a module's symbols; None without any.

    Raises Unavailable if storage or database do not respond.
    """
    from tecken.storage.native import find_parents_if_any  # noqa: PLC0415 - as in `search`

    if stored_symbols(select_files(module.is_try), module):
        return None
    parents = find_parents_if_any(module)
    return ObjectId.without_name(parents.native_id, is_try=module.is_try) if parents else None


def symbol_search() -> SourceChain:
    """Return the sources of symbols of regular modules: our own storage first, then upstreams."""
    return search().symbols


def try_symbol_search() -> SourceChain:
    """Return the sources of symbols of try builds, which are in our own storage alone."""
    return search().try_symbols


@per_process
def lookup_log() -> LookupLog:
    """Return the log of the results of each source, kept as long as the absence of a module."""
    return LookupLog(cache_client(), cache_guard(), lambda: options().absent_seconds)


@per_process
def presence_cache() -> PresenceCache:
    """Return the presence cache. Call `forget_file` on it after a file is stored or deleted."""
    return PresenceCache(cache_client(), cache_guard(), _presence_lifetimes)


def _presence_lifetimes() -> PresenceLifetimes:
    current = options()
    return PresenceLifetimes(
        current.download_known_seconds, current.absent_seconds, current.unreachable_seconds
    )


def own_stamp(module: ObjectId) -> Stored | NativeStamp | None:
    """Return size and etag of the module's regular symbol file, else the stamp of its native files."""
    return stored_symbols(own_files(), module) or _native_stamp(module)


def _native_stamp(module: ObjectId) -> NativeStamp | None:
    from tecken.storage.native import native_stamp  # noqa: PLC0415 - as in `search`

    return native_stamp(module) if search().native else None


def try_stamp(module: ObjectId) -> Stored | NativeStamp | None:
    """Return what `own_stamp` does, of a module of try builds."""
    return stored_symbols(try_files(), module) or _native_stamp(module)


@per_process
def miss_counts() -> MissCounts:
    """Return the counter of files that no source has."""
    return MissCounts(cache_client(), cache_guard())


@per_process
def miss_batch() -> MissBatch:
    """Return the counter in memory of files that no source has, which sends its counts every second."""
    batch = MissBatch(miss_counts())
    start_sender(batch)
    return batch


@per_process
def former_misses() -> FormerMisses:
    """Return the uses of modules that were missing until an upload brought them."""
    return FormerMisses(cache_client(), cache_guard())


def note_uses(modules: Iterable[ObjectId]) -> None:
    """Note regular modules in which a symbolication has found its frames."""
    former_misses().note(
        watched_id(module.debug_file, module.debug_id) for module in modules if not module.is_try
    )


def count_absent(modules: Sequence[ObjectId]) -> None:
    """Count modules that a symbolication needed and no source has, unless an upstream is switched off."""
    if modules and not search().has_disabled_upstream:
        miss_counts().count(
            [Miss(module.debug_file, module.debug_id) for module in modules], Requester.SYMBOLICATION
        )

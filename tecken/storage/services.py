"""The storages, upstreams and caches of lookups of this process, from the settings and the live options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import unquote, urlsplit

from django.conf import settings

from tecken.redisclient.services import cache_client, cache_guard
from tecken.runtimeconfig.current import options
from tecken.services import per_process
from tecken.storage import presence_cache as presence
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.staging import Staging
from tecken.storage.backends.uploaded_files import OwnSymbols, stored_symbols
from tecken.storage.disk_space import DiskSpace, Volume
from tecken.storage.factory import own_files_for, page_files_for, source_for
from tecken.storage.lookup_log import Journal
from tecken.storage.miss_counts import Miss, MissCounts
from tecken.storage.port import OwnFiles, PageFiles, Patience, Stored
from tecken.storage.search import Chain, Switched
from tecken.symbols.ids import ObjectId


def fetch_limits() -> Patience:
    """Return the deadlines and the size limit of one fetch that are in force."""
    current = options()
    return Patience(current.source_timeout_seconds, current.source_deadline_seconds, current.symbol_max_bytes)


def upstreams_off() -> tuple[str, ...]:
    """Return the upstreams that are switched off, by parts of their URLs."""
    return options().sources_off


@per_process
def own_files() -> OwnFiles:
    """Return the storage of regular uploads."""
    return own_files_for(settings.STORAGE_URL, fetch_limits)


@per_process
def try_files() -> OwnFiles:
    """Return the storage of uploads from try builds."""
    url = settings.TRY_STORAGE_URL or f"{settings.STORAGE_URL.rstrip('/')}/try"
    return own_files_for(url, fetch_limits)


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
def upstreams() -> tuple[Switched, ...]:
    """Return the upstreams in the order in which they are searched."""
    return tuple(
        Switched(source_for(url, fetch_limits), url, upstreams_off) for url in settings.SYMBOL_SOURCES
    )


@per_process
def symbol_search() -> Chain:
    """Return the search for symbols of regular modules: our own storage first, then upstreams."""
    return Chain([OwnSymbols(own_files()), *upstreams()], lookup_log().note)


@per_process
def lookup_log() -> Journal:
    """Return the log of what each source answered, kept as long as the absence of a module."""
    return Journal(cache_client(), cache_guard(), lambda: options().absent_seconds)


@per_process
def presence_cache() -> presence.Known:
    """Return the cache of which files exist; call `changed` on it after each file that is stored or deleted."""
    return presence.Known(cache_client(), cache_guard(), _presence_lifetimes)


def _presence_lifetimes() -> presence.Lifetimes:
    current = options()
    return presence.Lifetimes(
        current.download_known_seconds, current.absent_seconds, current.unreachable_seconds
    )


def own_stamp(module: ObjectId) -> Stored | None:
    """Return size and etag of the module's regular symbol file; None without one."""
    return stored_symbols(own_files(), module)


def try_stamp(module: ObjectId) -> Stored | None:
    """Return size and etag of the module's try symbol file; None without one."""
    return stored_symbols(try_files(), module)


@per_process
def miss_counts() -> MissCounts:
    """Return the counter of files that no source has."""
    return MissCounts(cache_client(), cache_guard())


def count_absent(modules: Sequence[ObjectId]) -> None:
    """Count modules that a symbolication asked for and no source has, unless an upstream is switched off."""
    if modules and not any(upstream.is_off for upstream in upstreams()):
        miss_counts().count(
            [Miss(module.debug_file, module.debug_id) for module in modules], by_symbolication=True
        )

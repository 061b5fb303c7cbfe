"""The long-lived objects of downloads."""

from __future__ import annotations

from django.conf import settings

from tecken.download.finder import Finder
from tecken.download.missing import MissWriter
from tecken.download.upstreams import Upstreams
from tecken.redisclient.services import cache_client
from tecken.services import per_process
from tecken.storage import services as storage_services


@per_process
def upstreams() -> Upstreams:
    """Return the upstreams that downloads are redirected to or read from."""
    return Upstreams(settings.SYMBOL_SOURCES, storage_services.fetch_limits, storage_services.upstreams_off)


@per_process
def finder() -> Finder:
    """Return the search for a file by the names in a URL."""
    return Finder(
        storage_services.presence_cache(),
        storage_services.own_files(),
        storage_services.try_files(),
        upstreams(),
    )


@per_process
def miss_writer() -> MissWriter:
    """Return the writer that moves counts of missing files from redis-cache into the database."""
    return MissWriter(cache_client())

"""The long-lived objects of downloads."""

from __future__ import annotations

from tecken.download.missing import MissWriter
from tecken.redisclient.services import cache_client
from tecken.services import per_process


@per_process
def miss_writer() -> MissWriter:
    """Return the writer that moves counts of missing files from redis-cache into the database."""
    return MissWriter(cache_client())

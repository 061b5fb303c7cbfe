"""The long-lived parts of this feature, from the settings."""

from __future__ import annotations

from django.conf import settings

from tecken import inforce, wiring
from tecken.download.finder import Finder
from tecken.download.missing import MissWriter
from tecken.download.upstreams import Upstreams


@wiring.once
def upstreams() -> Upstreams:
    return Upstreams(settings.SYMBOL_SOURCES, inforce.patience, inforce.sources_off)


@wiring.once
def finder() -> Finder:
    return Finder(wiring.known(), wiring.own_files(), wiring.try_files(), upstreams())


@wiring.once
def miss_writer() -> MissWriter:
    return MissWriter(wiring.cache_client())

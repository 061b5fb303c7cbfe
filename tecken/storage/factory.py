"""Storages and upstreams from the URLs of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlsplit

from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.page_files import ObjectPageFiles
from tecken.storage.backends.uploaded_files import ObjectFiles
from tecken.storage.port import FetchLimits, OwnFiles, PageFiles, Upstream
from tecken.storage.upstreams import PROTOCOLS
from tecken.storage.upstreams.bucket import BucketUpstream
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.switched import Off, SwitchableSource

Limits = Callable[[], FetchLimits]
# A person waits for pages, so these deadlines are short.
PAGE_LIMITS: Limits = partial(FetchLimits, timeout=3.0, deadline=10.0)


def upstream_for(url: str, limits: Limits = FetchLimits) -> Upstream:
    """Return the upstream that an entry of SYMBOL_SOURCES names.

    Raises ValueError, without credentials in its text, for a URL that names none.
    """
    protocol, plus, scheme = urlsplit(url).scheme.rpartition("+")
    if scheme in ("http", "https") and protocol in PROTOCOLS:
        return PROTOCOLS[protocol](HttpTransport(url[len(protocol + plus) :], limits))
    return BucketUpstream(bucket_for(url, limits, create=False), limits)


def upstreams_for(urls: Iterable[str], limits: Limits, off: Off) -> tuple[SwitchableSource, ...]:
    """Return upstreams that can be disabled, in order. Raises ValueError as `upstream_for` does."""
    return tuple(SwitchableSource(upstream_for(url, limits), url, off) for url in urls)


def own_files_for(url: str, limits: Limits = FetchLimits) -> OwnFiles:
    """Return our storage of uploaded files. Raises ValueError as `upstream_for` does."""
    return ObjectFiles(bucket_for(url, limits))


def page_files_for(url: str, limits: Limits = PAGE_LIMITS) -> PageFiles:
    """Return our storage of page files. Raises ValueError as `upstream_for` does."""
    return ObjectPageFiles(bucket_for(url, limits))

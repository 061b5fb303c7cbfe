"""What a URL in the settings stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlsplit

from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.page_files import ObjectPageFiles, ObjectSymbols
from tecken.storage.backends.uploaded_files import ObjectFiles
from tecken.storage.port import FetchLimits, OwnFiles, PageFiles, SymbolSource
from tecken.storage.search import Chain
from tecken.storage.upstreams.http import HttpSymbols

Limits = Callable[[], FetchLimits]
PAGE_LIMITS: Limits = partial(FetchLimits, timeout=3.0, deadline=10.0)  # a person waits for pages


def source_for(url: str, limits: Limits = FetchLimits) -> SymbolSource:
    """A read-only upstream. Raises ValueError with the URL, without its credentials."""
    if urlsplit(url).scheme in ("http", "https"):
        return HttpSymbols(url, limits)
    return ObjectSymbols(bucket_for(url, limits, create=False), limits)


def chain_for(urls: Iterable[str], limits: Limits = FetchLimits) -> Chain:
    """Raises ValueError like `source_for`."""
    return Chain(source_for(url, limits) for url in urls)


def own_files_for(url: str, limits: Limits = FetchLimits) -> OwnFiles:
    """Uploaded files. Raises ValueError like `source_for`."""
    return ObjectFiles(bucket_for(url, limits))


def page_files_for(url: str, limits: Limits = PAGE_LIMITS) -> PageFiles:
    """The page files we keep ourselves. Raises ValueError like `source_for`."""
    return ObjectPageFiles(bucket_for(url, limits))

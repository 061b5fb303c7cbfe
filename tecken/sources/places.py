"""What a URL in the settings stands for."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from tecken.sources.bucket import PATIENCE, Patience, bucket_for
from tecken.sources.chain import Chain
from tecken.sources.files import ObjectFiles
from tecken.sources.http import HttpSymbols
from tecken.sources.objects import MAX_BYTES, ObjectPageFiles, ObjectSymbols
from tecken.sources.port import OwnFiles, PageFiles, SymbolSource

PAGE_PATIENCE = Patience(timeout=3.0, deadline=10.0)  # a person waits for pages


def source_for(url: str, patience: Patience = PATIENCE, max_bytes: int = MAX_BYTES) -> SymbolSource:
    """A read-only upstream. Raises ValueError with the URL, without its credentials."""
    if urlsplit(url).scheme in ("http", "https"):
        return HttpSymbols(url, timeout=patience.timeout, deadline=patience.deadline, max_bytes=max_bytes)
    return ObjectSymbols(bucket_for(url, patience, create=False), max_bytes)


def chain_for(urls: Iterable[str], patience: Patience = PATIENCE, max_bytes: int = MAX_BYTES) -> Chain:
    """Raises ValueError like `source_for`."""
    return Chain(source_for(url, patience, max_bytes) for url in urls)


def own_files_for(url: str, patience: Patience = PATIENCE) -> OwnFiles:
    """Uploaded files. Raises ValueError like `source_for`."""
    return ObjectFiles(bucket_for(url, patience))


def page_files_for(url: str, patience: Patience = PAGE_PATIENCE) -> PageFiles:
    """The page files we keep ourselves. Raises ValueError like `source_for`."""
    return ObjectPageFiles(bucket_for(url, patience))

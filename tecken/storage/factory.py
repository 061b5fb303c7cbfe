"""What a URL in the settings stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlsplit

from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.page_files import ObjectPageFiles, ObjectSymbols
from tecken.storage.backends.uploaded_files import ObjectFiles
from tecken.storage.port import OwnFiles, PageFiles, Patience, SymbolSource
from tecken.storage.search import Chain
from tecken.storage.upstreams.http import HttpSymbols

Now = Callable[[], Patience]
PAGE_PATIENCE: Now = partial(Patience, timeout=3.0, deadline=10.0)  # a person waits for pages


def source_for(url: str, patience: Now = Patience) -> SymbolSource:
    """A read-only upstream. Raises ValueError with the URL, without its credentials."""
    if urlsplit(url).scheme in ("http", "https"):
        return HttpSymbols(url, patience)
    return ObjectSymbols(bucket_for(url, patience, create=False), patience)


def chain_for(urls: Iterable[str], patience: Now = Patience) -> Chain:
    """Raises ValueError like `source_for`."""
    return Chain(source_for(url, patience) for url in urls)


def own_files_for(url: str, patience: Now = Patience) -> OwnFiles:
    """Uploaded files. Raises ValueError like `source_for`."""
    return ObjectFiles(bucket_for(url, patience))


def page_files_for(url: str, patience: Now = PAGE_PATIENCE) -> PageFiles:
    """The page files we keep ourselves. Raises ValueError like `source_for`."""
    return ObjectPageFiles(bucket_for(url, patience))

"""What a URL in the settings stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import urlsplit

from tecken.sources.bucket import bucket_for
from tecken.sources.chain import Chain
from tecken.sources.files import ObjectFiles
from tecken.sources.http import HttpSymbols
from tecken.sources.objects import ObjectPageFiles, ObjectSymbols
from tecken.sources.patience import Patience
from tecken.sources.port import OwnFiles, PageFiles, SymbolSource

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

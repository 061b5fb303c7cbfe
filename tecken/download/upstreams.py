"""Symbol files that only an upstream has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tecken.errors import Absent, CouldNotAsk
from tecken.sources.bucket import Patience
from tecken.sources.places import source_for
from tecken.sources.port import FileKey, SymbolSource
from tecken.symbols.ids import ModuleKey


class Upstream(NamedTuple):
    """`is_public`: whoever knows its name can read from it."""

    source: SymbolSource
    is_public: bool

    def open(self, key: FileKey) -> AbstractContextManager[Iterator[bytes]]:
        """As SymbolSource.open."""
        return self.source.open(ModuleKey(key.debug_file, key.debug_id))

    def url(self, key: FileKey) -> str | None:
        """None where a client cannot go itself."""
        return f"{self.source.name}{quote(str(key))}" if self.is_public else None


class Upstreams:
    """Asked in order. Raises ValueError like `source_for`."""

    def __init__(self, urls: Iterable[str], patience: Patience, max_bytes: int) -> None:
        made = (Upstream(source_for(url, patience, max_bytes), _is_public(url)) for url in urls)
        self._by_name = {upstream.source.name: upstream for upstream in made}

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def named(self, name: str) -> Upstream:
        """Raises Absent for one that is in the settings no more."""
        if name not in self._by_name:
            raise Absent(f"{name} is no upstream any more")
        return self._by_name[name]

    def which(self, key: FileKey) -> str:
        """The name of the first that has the symbol file. Raises Absent or CouldNotAsk."""
        unasked: list[CouldNotAsk] = []
        for name, upstream in self._by_name.items():
            try:
                with upstream.open(key):
                    return name
            except Absent:
                continue
            except CouldNotAsk as error:
                unasked.append(error)
        raise unasked[0] if unasked else Absent(f"no upstream has {key}")


def _is_public(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.username is None

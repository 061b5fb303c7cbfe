"""Symbol files that only an upstream has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tecken.errors import Absent, CouldNotAsk, SwitchedOff
from tecken.storage.factory import source_for
from tecken.storage.port import Patience
from tecken.storage.search import Off, Switched
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey


class Upstream(NamedTuple):
    """`is_public`: whoever knows its name can read from it."""

    source: Switched
    is_public: bool

    def open(self, key: FileKey) -> AbstractContextManager[Iterator[bytes]]:
        """As SymbolSource.open."""
        return self.source.open(ObjectId(key.debug_file, key.debug_id))

    def url(self, key: FileKey) -> str | None:
        """None where a client cannot go itself."""
        return f"{self.source.name}{quote(str(key))}" if self.is_public else None


class Upstreams:
    """Asked in order. Raises ValueError like `source_for`."""

    def __init__(self, urls: Iterable[str], patience: Callable[[], Patience], off: Off) -> None:
        made = (Upstream(Switched(source_for(url, patience), url, off), _is_public(url)) for url in urls)
        self._by_name = {upstream.source.name: upstream for upstream in made}

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def named(self, name: str) -> Upstream:
        """Raises Absent for one that is in the settings no more, or switched off."""
        if name not in self._by_name:
            raise Absent(f"{name} is no upstream any more")
        if self._by_name[name].source.is_off:
            raise SwitchedOff(f"{name} is switched off")
        return self._by_name[name]

    @property
    def some_are_off(self) -> bool:
        """Then nobody can say that a file is missing."""
        return any(upstream.source.is_off for upstream in self._by_name.values())

    def which(self, key: FileKey) -> str:
        """The name of the first that has the symbol file. Raises Absent, SwitchedOff or CouldNotAsk."""
        unasked: list[CouldNotAsk] = []
        absent = Absent(f"no upstream has {key}")
        for name, upstream in self._by_name.items():
            try:
                with upstream.open(key):
                    return name
            except SwitchedOff as error:
                absent = error
            except Absent:
                continue
            except CouldNotAsk as error:
                unasked.append(error)
        raise unasked[0] if unasked else absent


def _is_public(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.username is None

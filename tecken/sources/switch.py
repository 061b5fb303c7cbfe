"""Upstreams that an operator switches off and on while we run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tecken.errors import SwitchedOff
from tecken.sources.port import SymbolSource
from tecken.symbols.ids import ModuleKey

Off = Callable[[], Iterable[str]]
"""URLs of those that are not asked now, or parts of them."""


class Switched:
    """A source that raises SwitchedOff instead of being asked, while one of `off()` is in its URL or name."""

    def __init__(self, source: SymbolSource, url: str, off: Off) -> None:
        self.source = source
        self.name = source.name
        self._url = url
        self._off = off

    @property
    def is_off(self) -> bool:
        return any(text in self._url or text in self.name for text in self._off() if text)

    @contextmanager
    def open(self, module: ModuleKey) -> Iterator[Iterator[bytes]]:
        if self.is_off:
            raise SwitchedOff(f"{self.name} is switched off")
        with self.source.open(module) as chunks:
            yield chunks

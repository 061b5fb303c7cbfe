"""Upstreams that an operator disables and enables while the site runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tecken.errors import SourceDisabled
from tecken.storage.port import Upstream
from tecken.symbols.ids import ObjectId

Off = Callable[[], Iterable[str]]
"""Returns URLs of disabled upstreams, or parts of them."""


class SwitchableSource:
    """An upstream that raises SourceDisabled while one of the texts of `off()` is in its URL or name."""

    def __init__(self, upstream: Upstream, url: str, off: Off) -> None:
        self.upstream = upstream
        self.name = upstream.name
        self._url = url
        self._off = off

    @property
    def is_off(self) -> bool:
        """Return whether the upstream is disabled now."""
        return any(text in self._url or text in self.name for text in self._off() if text)

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Fetch the symbol file of a module, as `SymbolSource.open` does. Raises SourceDisabled."""
        # An error and not an empty result: the file may exist, so its absence must not be cached for long.
        if self.is_off:
            raise SourceDisabled(f"{self.name} is switched off")
        with self.upstream.open(module) as chunks:
            yield chunks

    def public_url(self, module: ObjectId) -> str | None:
        """Return the URL of a symbol file, as `Upstream.public_url` does, disabled or not."""
        return self.upstream.public_url(module)

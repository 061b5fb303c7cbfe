"""Upstreams over HTTP with Breakpad's layout: `<prefix>/<debug file>/<DEBUG ID>/<symbol file>`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from tecken.storage.upstreams.http import HttpTransport
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file


class BreakpadUpstream:
    """A symbol server, such as another Tecken or Microsoft's or Mozilla's public one."""

    def __init__(self, transport: HttpTransport) -> None:
        self.name = transport.name
        self._transport = transport

    def open(self, module: ObjectId) -> AbstractContextManager[Iterator[bytes]]:
        """Fetch the symbol file of a module, as `SymbolSource.open` does."""
        return self._transport.get(str(symbol_file(module)))

    def public_url(self, module: ObjectId) -> str | None:
        """Return the URL of a symbol file, as `Upstream.public_url` does."""
        return self._transport.public_url(str(symbol_file(module)))

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

"""Upstreams with the paths `<debug file>/<DEBUG ID>/<symbol file>`: over HTTP, in a bucket or directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tecken.errors import TooLarge
from tecken.storage.backends.bucket import Bucket
from tecken.storage.port import FetchLimits
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


class BucketUpstream:
    """A bucket that another symbol server fills."""

    def __init__(self, bucket: Bucket, limits: Callable[[], FetchLimits] = FetchLimits) -> None:
        self.name = bucket.name
        self._bucket = bucket
        self._limits = limits

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Read the symbol file of a module, as `SymbolSource.open` does."""
        found = self._bucket.get(str(symbol_file(module)))
        max_bytes = self._limits().max_bytes
        if found.meta["size"] > max_bytes:
            raise TooLarge(f"{self.name}: {module} has more than {max_bytes} bytes")
        yield self._bucket.chunks(found)

    def public_url(self, module: ObjectId) -> str | None:  # noqa: ARG002
        """Return None: clients have no credentials for a bucket."""
        return None

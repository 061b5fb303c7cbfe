"""Upstreams with the paths `<debug file>/<DEBUG ID>/<symbol file>`: over HTTP, in a bucket or directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Final

from tecken.errors import Malformed, NotAsked, TooLarge
from tecken.storage.port import ServedFile
from tecken.storage.upstreams.transport import FileTransport
from tecken.symbols.decompression import decompress
from tecken.symbols.formats import HEAD_BYTES, parse_module
from tecken.symbols.ids import ObjectId, normal_debug_id
from tecken.symbols.layouts import FileType, symbol_file

# Bytes of text that the first bytes of a compressed file may have.
MAX_HEAD_BYTES: Final = 64 << 20


class SymbolFileUpstream:
    """A symbol server, such as another Tecken or Mozilla's public one, or a bucket that one fills."""

    served_types = frozenset({FileType.SYMBOL_FILE})

    def __init__(self, transport: FileTransport) -> None:
        self.name = transport.name
        self._transport = transport

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Fetch the symbol file of a module, as `SymbolSource.open` does. Raises Malformed."""
        with self._transport.get(str(symbol_file(module))) as chunks:
            yield check_symbols(chunks, module.debug_id, self.name)

    def locate(self, file: ServedFile) -> str:
        """Return the path of a symbol file, as `Upstream.locate` does."""
        if file.file_type not in self.served_types:
            raise NotAsked(f"{self.name}: not asked, it has symbol files")
        path = str(symbol_file(file.module))
        self._transport.check(path, file.hops)
        return path

    def read(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read a file, as `Upstream.read` does."""
        return self._transport.get(path)

    def public_url(self, path: str) -> str | None:
        """Return the URL of a file, as `Upstream.public_url` does."""
        return self._transport.public_url(path)

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()


def check_symbols(chunks: Iterator[bytes], debug_id: str, name: str) -> Iterator[bytes]:
    """Return the chunks of a symbol file, after the debug id in its first line was compared.

    Raises Malformed or TooLarge, with the name of the upstream in the text.
    """
    # Here, and not during the conversion: the next upstream can still be asked.
    first: list[bytes] = []
    try:
        found = parse_module(_read_head(_keep(chunks, first))).debug_id
    except (Malformed, TooLarge) as error:
        text = str(error)
        raise type(error)(text if text.startswith(name) else f"{name}: {text}") from None
    if normal_debug_id(found) != debug_id:
        text = "the symbol file that it has sent is of another build"
        raise Malformed(f"{name}: {text}: it has the debug id {found}, not {debug_id}")
    return chain(first, chunks)


def _keep(chunks: Iterator[bytes], kept: list[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        kept.append(chunk)
        yield chunk


def _read_head(chunks: Iterator[bytes]) -> bytes:
    head = b""
    for text in decompress(chunks, MAX_HEAD_BYTES):
        head += text[:HEAD_BYTES]
        if b"\n" in head or len(head) >= HEAD_BYTES:
            return head
    return head + b"\n"

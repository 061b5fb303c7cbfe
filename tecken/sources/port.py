"""Where symbol files come from, and where our page files live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from tecken.symbols.ids import ModuleKey


class SymbolSource(Protocol):
    """A place that has `.sym` files."""

    name: str
    """What errors call it; never with credentials."""

    def open(self, module: ModuleKey) -> AbstractContextManager[Iterator[bytes]]:
        """The symbol file as stored (plain, gzip or zstd), in chunks of any size.

        Entering raises Absent, CouldNotAsk or TooMuch; so may the iteration, with the last two.
        """


class SymbolFiles(SymbolSource, Protocol):
    """A SymbolSource of our own, that also keeps what it is given."""

    def put_symbols(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        """Keep a symbol file, given as plain text; visible whole or not at all; replaces an older one.

        Raises CouldNotAsk, TooMuch when the storage allows no name that long, or what `chunks` raises.
        """


class PageFiles(Protocol):
    """The page file of each module."""

    def read(self, module: ModuleKey, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each [start, end), in the order asked; every span has at least one byte.

        Raises Absent, CouldNotAsk, or MalformedPageFile when a span is not wholly in the file.
        """

    def write(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        """Visible whole or not at all; replaces an older one. Raises like `SymbolFiles.put_symbols`."""

    def delete(self, module: ModuleKey) -> None:
        """What is not there is deleted already. Raises CouldNotAsk."""

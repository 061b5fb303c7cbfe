"""Symbol files that somebody brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from tecken.errors import StoreAway
from tecken.modules.conversion import Conversion
from tecken.modules.turn import Turns
from tecken.sources.port import PageFiles, SymbolFiles
from tecken.store.port import PageStore
from tecken.symbols.ids import module_key
from tecken.symbols.pagefile import Header


class Adder:
    def __init__(
        self,
        *,
        symbol_files: SymbolFiles,
        page_files: PageFiles,
        store: PageStore,
        turns: Turns,
        conversion: Conversion,
    ) -> None:
        self._symbol_files = symbol_files
        self._page_files = page_files
        self._store = store
        self._turns = turns
        self._conversion = conversion

    def add(self, read: Callable[[], Iterable[bytes]]) -> Header:
        """Keep a symbol file and its page file under the names in its MODULE record; they replace older ones.

        `read` gives the file as it is (plain, gzip or zstd) and is called twice. The new header goes into the
        store at once: no process goes on with the former one for longer than it trusts a header. Raises
        Malformed, TooMuch, BadModule, CouldNotAsk, and what `read` raises.
        """
        with self._conversion.of(read()) as made:
            header = made.header
            module = module_key(header.metadata.debug_file, header.metadata.debug_id)
            with self._turns.take(module):
                self._symbol_files.put_symbols(module, self._conversion.text(read()))
                self._page_files.write(module, made.chunks())
                with suppress(StoreAway):
                    self._store.put_header(module, header.raw)
        return header

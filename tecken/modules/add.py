"""Symbol files that somebody brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from tecken.errors import CouldNotAsk, StoreAway
from tecken.modules.conversion import Conversion
from tecken.modules.turn import Turns
from tecken.storage.backends.uploaded_files import gzipped
from tecken.storage.port import FileKey, OwnFiles, PageFiles, symbol_file
from tecken.store.port import PageStore
from tecken.symbols.ids import ModuleKey, module_key
from tecken.symbols.pagefile.file import Header


class Adder:
    """`tell` reaches every process and never raises; `changed` is Known.changed."""

    def __init__(
        self,
        *,
        files: OwnFiles,
        page_files: PageFiles,
        store: PageStore,
        turns: Turns,
        conversion: Conversion,
        tell: Callable[[ModuleKey], None],
        changed: Callable[[FileKey, str, str], None],
    ) -> None:
        self._files = files
        self._page_files = page_files
        self._store = store
        self._turns = turns
        self._conversion = conversion
        self._tell = tell
        self._changed = changed

    def add(self, read: Callable[[], Iterable[bytes]]) -> Header:
        """Keep a symbol file and its page file under the names in its MODULE record; they replace older ones.

        `read` gives the file as it is (plain, gzip or zstd) and is called twice. The new header goes into the
        store at once, and every process is told. Raises Malformed, TooMuch, BadModule, CouldNotAsk, and what
        `read` raises.
        """
        with self._conversion.of(read()) as made:
            header = made.header
            module = module_key(header.metadata.debug_file, header.metadata.debug_id)
            with self._turns.take(module):
                self._files.put(symbol_file(module), gzipped(self._conversion.text(read())))
                self._page_files.write(module, made.chunks())
                with suppress(StoreAway):
                    self._store.put_header(module, header.raw)
        self._tell(module)
        with suppress(CouldNotAsk):  # then its download may be missing for as long as such answers are kept
            self._changed(symbol_file(module), header.metadata.code_file, header.metadata.code_id)
        return header

"""Find a module's symbol file, convert it, keep its page file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from tecken.errors import (
    Absent,
    CouldNotAsk,
    Malformed,
    MalformedPageFile,
    StoreAway,
    SwitchedOff,
    TooMuch,
)
from tecken.metrics import PREPARATION_SECONDS, PREPARATIONS
from tecken.storage.backends.uploaded_files import gzipped
from tecken.storage.port import OwnFiles, PageFiles, SymbolSource
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.lock import Turns
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbolication.conversion.status import Board
from tecken.symbolication.page_reader import read_header
from tecken.symbols.ids import ObjectId, normal_debug_id
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.pagefile.file import Header

logger = logging.getLogger(__name__)
TRIES = 3
LONGEST_UNREACHABLE = 3600  # seconds; a Retry-After of next week is not taken at its word


class Lifetimes(NamedTuple):
    """Seconds for which each kind of "no" is remembered."""

    absent: float
    malformed: float
    unreachable: float


class Preparer:
    """`stamp` gives another value once other symbols of the module were uploaded; `lifetimes` those in force.

    Whoever uploads stores them first and forgets what was made of the former ones then; whoever converts asks
    for the stamp last. So nothing that was made of the former symbols stays.
    """

    def __init__(
        self,
        *,
        source: SymbolSource,
        stamp: Callable[[ObjectId], object],
        page_files: PageFiles,
        store: PageStore,
        turns: Turns,
        conversion: Conversion,
        lifetimes: Callable[[], Lifetimes],
    ) -> None:
        self._source = source
        self._stamp = stamp
        self._page_files = page_files
        self._store = store
        self._turns = turns
        self._conversion = conversion
        self._lifetimes = lifetimes

    def prepare(self, module: ObjectId) -> Header | Missing:
        """In the caller's process; one at a time per module, fleet-wide.

        Whoever waited for a turn finds the answer of the one before. Raises Pending when no turn came.
        """
        with self._turns.take(module):
            try:
                return self._answered(module) or self._settled(module)
            except CouldNotAsk as error:
                return self._unreachable(module, error)

    def give_up(self, module: ObjectId, reason: str) -> Missing:
        """Remember the module as malformed."""
        return self._remember(module, Missing("malformed", reason), self._lifetimes().malformed)

    def _answered(self, module: ObjectId) -> Header | Missing | None:
        with suppress(StoreAway):
            known = self._store.headers([module]).get(module)
            if isinstance(known, Missing):
                return known
        with suppress(Absent, MalformedPageFile):
            return self._put(module, Header.parse(read_header(self._page_files, module)))
        return None

    def _settled(self, module: ObjectId) -> Header | Missing:
        for _ in range(TRIES):
            stamp = self._stamp(module)
            found = self._found(module)
            if self._stamp(module) == stamp:
                return found
            self._page_files.delete(module)
            with suppress(StoreAway):
                self._store.forget(module)
        raise CouldNotAsk(f"{module} is being uploaded again and again")

    def _found(self, module: ObjectId) -> Header | Missing:
        try:
            return self._put(module, self._converted(module))
        except SwitchedOff as error:  # it may be switched on any moment
            return self._remember(module, Missing("absent", str(error)), self._lifetimes().unreachable)
        except Absent as error:
            return self._remember(module, Missing("absent", str(error)), self._lifetimes().absent)
        except (Malformed, TooMuch) as error:
            return self.give_up(module, str(error))

    def _converted(self, module: ObjectId) -> Header:
        with PREPARATION_SECONDS.time(), self._source.open(module) as chunks:
            with self._conversion.of(chunks) as made:
                _same_id(module, made.header)
                self._page_files.write(module, made.chunks())
            PREPARATIONS.labels(result="ready").inc()
            return made.header

    def _put(self, module: ObjectId, header: Header) -> Header:
        with suppress(StoreAway):
            self._store.put_header(module, header.raw)
        return header

    def _unreachable(self, module: ObjectId, error: CouldNotAsk) -> Missing:
        seconds = min(error.retry_after or self._lifetimes().unreachable, LONGEST_UNREACHABLE)
        return self._remember(module, Missing("unreachable", str(error)), seconds)

    def _remember(self, module: ObjectId, missing: Missing, seconds: float) -> Missing:
        logger.info("%s is %s: %s", module, *missing)
        PREPARATIONS.labels(result=missing.kind).inc()
        with suppress(StoreAway):
            self._store.put_missing(module, missing, max(1, round(seconds)))
        return missing


def _same_id(module: ObjectId, header: Header) -> None:
    """Raise Malformed for another build's symbols; a renamed debug file is no reason."""
    found = normal_debug_id(header.metadata.debug_id)
    if found != module.debug_id:
        raise Malformed(f"the symbol file is of another build: its MODULE record says {found}")


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
        tell: Callable[[ObjectId], None],
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
            module = ObjectId.parse(header.metadata.debug_file, header.metadata.debug_id)
            with self._turns.take(module):
                self._files.put(symbol_file(module), gzipped(self._conversion.text(read())))
                self._page_files.write(module, made.chunks())
                with suppress(StoreAway):
                    self._store.put_header(module, header.raw)
        self._tell(module)
        with suppress(CouldNotAsk):  # then its download may be missing for as long as such answers are kept
            self._changed(symbol_file(module), header.metadata.code_file, header.metadata.code_id)
        return header


class Replacer:
    """`tell` reaches every process and never raises; `send` puts one task into the queue."""

    def __init__(
        self,
        *,
        page_files: PageFiles,
        store: PageStore,
        board: Board,
        tell: Callable[[ObjectId], None],
        send: Callable[[ObjectId], None],
    ) -> None:
        self._page_files = page_files
        self._store = store
        self._board = board
        self._tell = tell
        self._send = send

    def replaced(self, module: ObjectId) -> None:
        """Call it after the new symbol file is stored, and before that is told to anybody. Safe to repeat.

        Only the page file must go; it raises CouldNotAsk when it may still be there. What else cannot be
        reached expires, and a module nobody converts ahead of demand is converted on demand.
        """
        self._page_files.delete(module)
        with suppress(StoreAway):
            self._store.forget(module)
        with suppress(CouldNotAsk):
            self._board.forget(module)
        self._tell(module)
        try:
            self._send(module)
        except CouldNotAsk as error:
            logger.warning("%s: not converted ahead of demand: %s", module, error)

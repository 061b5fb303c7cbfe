"""A module has other symbols now: whatever was made of the former ones goes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from tecken.errors import CouldNotAsk, StoreAway
from tecken.modules.board import Board
from tecken.storage.port import PageFiles
from tecken.store.port import PageStore
from tecken.symbols.ids import ModuleKey

logger = logging.getLogger(__name__)


class Replacer:
    """`tell` reaches every process and never raises; `send` puts one task into the queue."""

    def __init__(
        self,
        *,
        page_files: PageFiles,
        store: PageStore,
        board: Board,
        tell: Callable[[ModuleKey], None],
        send: Callable[[ModuleKey], None],
    ) -> None:
        self._page_files = page_files
        self._store = store
        self._board = board
        self._tell = tell
        self._send = send

    def replaced(self, module: ModuleKey) -> None:
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

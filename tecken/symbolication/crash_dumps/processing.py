"""The worker's side of a dump: walk it, store its report, and delete it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, Final

from tecken.errors import Malformed, NotFound, TooLarge, Unavailable, hide_places
from tecken.metrics import MINIDUMP_FRAMES, MINIDUMP_SECONDS, MINIDUMPS
from tecken.symbolication.crash_dumps.child import WalkedDump
from tecken.symbolication.crash_dumps.dump_files import DUMP, DumpFiles
from tecken.symbolication.crash_dumps.symbols import LoadedSymbols, ModuleNames
from tecken.symbolication.crash_dumps.tracker import DumpTracker, TrackedDump
from tecken.symbolication.minidump.port import ModuleState
from tecken.symbols.ids import ObjectId

logger = logging.getLogger(__name__)

# Attempts that may end with their process. Then the dump has failed, and is deleted.
MAX_ATTEMPTS: Final = 2
# Digits of an id in the log: not enough to read the report.
LOGGED_DIGITS: Final = 8

OpenSymbols = Callable[[Sequence[ModuleNames]], LoadedSymbols]
Process = Callable[[BinaryIO, OpenSymbols], WalkedDump]


class DumpProcessor:
    """Processing of stored dumps. A job may run twice, also at the same time, and may end with its process.

    Args:
        files: Dumps and reports in the storage.
        tracker: States on redis-cache.
        process: Returns the report of an open dump. Raises Malformed, TooLarge and Unavailable.
        open_symbols: Returns the symbols of a dump's modules.
        note_absent: Counts modules that no source has.
        keeps_dumps: Returns whether dumps are kept.
    """

    def __init__(
        self,
        files: DumpFiles,
        tracker: DumpTracker,
        *,
        process: Process,
        open_symbols: OpenSymbols,
        note_absent: Callable[[Sequence[ObjectId]], None],
        keeps_dumps: Callable[[], bool],
    ) -> None:
        self._files = files
        self._tracker = tracker
        self._process = process
        self._open_symbols = open_symbols
        self._note_absent = note_absent
        self._keeps_dumps = keeps_dumps

    def work(self, dump_id: str) -> int:
        """Process a dump, unless that is done, and return the number of frames that were walked.

        Raises Unavailable: the job should be tried again.
        """
        state, attempt = self._tracker.begin(dump_id)
        if state in ("done", "failed"):
            # A job that was delivered twice, or one that ended with its process after the state.
            self._remove_dump(dump_id)
            return 0
        if attempt > MAX_ATTEMPTS:
            self.fail(dump_id, f"its processing ended with its process {MAX_ATTEMPTS} times")
            return 0
        start = time.perf_counter()
        try:
            walked, modules = self._store_report(dump_id)
        except (Malformed, TooLarge) as error:
            self.fail(dump_id, str(error), type(error).__name__)
        except NotFound:
            # The other run of the same job has deleted it, or it was removed as too old.
            logger.info("minidump %s is not in the storage any more; nothing to do", dump_id[:LOGGED_DIGITS])
        else:
            self._finish(dump_id, walked, modules, time.perf_counter() - start)
            return walked.frames
        return 0

    def postpone(self, dump_id: str) -> None:
        """Have the dump wait for another try. Raises nothing: without redis-cache there is no state."""
        with suppress(Unavailable):
            self._tracker.postpone(dump_id)

    def fail(self, dump_id: str, reason: str, kind: str = "Unavailable") -> None:
        """End a dump with an error for its client. Raises Unavailable."""
        logger.info("minidump %s cannot be processed: %s", dump_id[:LOGGED_DIGITS], reason)
        MINIDUMPS.labels("failed" if kind == "Unavailable" else "refused").inc()
        self._tracker.finish(dump_id, TrackedDump("failed", kind, hide_places(reason)))
        self._remove_dump(dump_id)

    def _store_report(self, dump_id: str) -> tuple[WalkedDump, Sequence[ModuleState]]:
        """Store the report of a dump, and return it with the states of its modules."""
        opened: list[LoadedSymbols] = []

        def open_symbols(modules: Sequence[ModuleNames]) -> LoadedSymbols:
            opened.append(self._open_symbols(modules))
            return opened[0]

        with self._files.open_dump(dump_id) as file:
            walked = self._process(file, open_symbols)
        self._files.put_report(dump_id, walked.report)
        for symbols in opened:
            self._note_absent(symbols.absent_modules())
        return walked, [state for symbols in opened for state in symbols.states()]

    def _finish(
        self, dump_id: str, walked: WalkedDump, modules: Sequence[ModuleState], seconds: float
    ) -> None:
        self._tracker.finish(dump_id, TrackedDump("done"))
        MINIDUMPS.labels("done").inc()
        MINIDUMP_SECONDS.observe(seconds)
        MINIDUMP_FRAMES.inc(walked.frames)
        # Nothing in it comes from the memory of the process that crashed.
        logger.info(
            "minidump %s: %d threads, %d frames, symbols of %d of %d modules, %.2f s",
            dump_id[:LOGGED_DIGITS],
            walked.threads,
            walked.frames,
            sum(module.state == "loaded" for module in modules),
            len(modules),
            seconds,
        )
        self._remove_dump(dump_id)

    def _remove_dump(self, dump_id: str) -> None:
        if not self._keeps_dumps():
            self._files.delete(dump_id, DUMP)

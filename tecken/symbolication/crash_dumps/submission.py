"""The web process's side of a dump: store it, send its job, and look for its report."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event
from typing import BinaryIO, Final, NamedTuple

from django.utils.crypto import constant_time_compare, salted_hmac

from tecken.errors import Malformed, NotFound, TeckenError, TooLarge, Unavailable
from tecken.limits.port import Caller
from tecken.symbolication.conversion.queue import ResultSignals
from tecken.symbolication.crash_dumps.dump_files import DUMP, DumpFiles
from tecken.symbolication.crash_dumps.tracker import DumpTracker, State, TrackedDump, state_key

# The URL of a report is the permission to read it, so the id is a secret: 12 random bytes. A check of them
# follows that only this site can compute. An id that the site has not given out costs no look for it.
ID: Final = re.compile("[0-9a-f]{32}")
SECRET_BYTES: Final = 12
CHECK_DIGITS: Final = 8
# A message of the worker ends the pause. Without it, a request looks again after this time.
LONGEST_PAUSE: Final = 0.5
# Errors that end a dump, as clients get them.
ERRORS: Final[dict[str, type[TeckenError]]] = {
    error.__name__: error for error in (Malformed, TooLarge, Unavailable)
}
NO_CALLER: Final = Caller()
NOT_KEPT: Final = "the dump of this id is not stored any more; send it again"
NO_DUMP: Final = "no minidump has this id, or its report has expired"


def make_id() -> str:
    """Return the id of a new dump."""
    secret = secrets.token_hex(SECRET_BYTES)
    return secret + _compute_check(secret)


def is_id(text: str) -> bool:
    """Return whether this site has given out an id, for a dump that exists or has expired."""
    secret, check = text[:-CHECK_DIGITS], text[-CHECK_DIGITS:]
    return bool(ID.fullmatch(text)) and constant_time_compare(check, _compute_check(secret))


def _compute_check(secret: str) -> str:
    return salted_hmac("tecken.minidump", secret, algorithm="sha256").hexdigest()[:CHECK_DIGITS]


class DumpStatus(NamedTuple):
    """State of a dump, with its report as JSON when it is done, and the reason when it has failed."""

    state: State
    report: bytes = b""
    kind: str = ""
    error: str = ""

    def raise_if_failed(self) -> None:
        """Raise the error of a dump that has failed."""
        if self.state == "failed":
            raise ERRORS.get(self.kind, Unavailable)(self.error)


class DumpDesk:
    """Submission of dumps, and their results.

    Args:
        files: Dumps and reports in the storage.
        tracker: States on redis-cache.
        send: Sends the job of a dump with its caller. Raises Unavailable.
        signals: Wakes requests when their dump has ended.
        now: The time, with a time zone.
        keep: Returns for how long reports are kept.
        expires: Time after which the job of a dump is removed from the queue.
        wait: Waits for an event, at most for some seconds.
    """

    def __init__(
        self,
        files: DumpFiles,
        tracker: DumpTracker,
        *,
        send: Callable[[str, Caller], None],
        signals: ResultSignals,
        now: Callable[[], datetime],
        keep: Callable[[], timedelta],
        expires: timedelta,
        wait: Callable[[Event, float], bool] = Event.wait,
    ) -> None:
        self._files = files
        self._tracker = tracker
        self._send = send
        self._signals = signals
        self._now = now
        self._keep = keep
        self._expires = expires
        self._wait = wait

    def submit(self, file: BinaryIO, client: str, caller: Caller = NO_CALLER) -> str:
        """Store a dump, send its job, and return its id. Raises TooManyAtOnce and Unavailable.

        `client` has a place until the dump has ended, and `caller` is charged for its frames.
        """
        dump_id = make_id()
        self._tracker.claim(dump_id, client)
        try:
            self._files.put_dump(dump_id, file)
            self._send(dump_id, caller)
        except TeckenError as error:
            # Nothing would process the dump, so nothing of it stays.
            self._tracker.finish(dump_id, TrackedDump("failed", "Unavailable", str(error)))
            self._files.delete(dump_id, DUMP)
            raise
        return dump_id

    def is_kept(self, dump_id: str) -> bool:
        """Return whether a dump is stored, so that it can be processed again. Raises Unavailable."""
        return is_id(dump_id) and self._files.has_dump(dump_id)

    def process_again(self, dump_id: str, client: str, caller: Caller = NO_CALLER) -> None:
        """Send the job of a kept dump once more; its new report replaces the old one.

        A dump that waits or runs gets no second job. Raises NotFound, TooManyAtOnce and Unavailable.
        """
        if not self.is_kept(dump_id):
            raise NotFound(NOT_KEPT)
        if not self._tracker.claim(dump_id, client):
            return
        try:
            self._send(dump_id, caller)
        except TeckenError:
            # The old report stays.
            self._tracker.finish(dump_id, TrackedDump("done"))
            raise

    def fetch(self, dump_id: str) -> DumpStatus:
        """Return the state of a dump now. Raises NotFound for an unknown one, and Unavailable."""
        if not is_id(dump_id):
            raise NotFound(NO_DUMP)
        tracked = self._tracker.get(dump_id)
        if tracked and tracked.state == "failed":
            return DumpStatus("failed", b"", tracked.kind, tracked.error)
        if tracked and tracked.state != "done":
            return DumpStatus(tracked.state)
        try:
            return DumpStatus("done", self._files.report(dump_id, self._now() - self._keep()))
        except NotFound:
            # The state is lost where redis-cache was emptied or full, and the job is still in the queue or
            # has lost it, too: then the dump is removed as one that no job processes. An older dump is one
            # that is kept, and its report has expired.
            if tracked is None and self._files.has_dump(dump_id, self._now() - self._expires):
                return DumpStatus("waiting")
            raise NotFound(NO_DUMP) from None

    def wait(self, dump_id: str, seconds: float) -> DumpStatus:
        """Return the state of a dump when it has ended, or after some seconds. Raises as `fetch`."""
        deadline = time.monotonic() + seconds
        with self._signals.watch([state_key(dump_id)]) as signal:
            while True:
                # Before the look: a message may come during it.
                signal.clear()
                status = self.fetch(dump_id)
                left = deadline - time.monotonic()
                if status.state in ("done", "failed") or left <= 0:
                    return status
                self._wait(signal, min(left, LONGEST_PAUSE))

"""Conversion of modules: on demand, by import, and the cleanup after an upload."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import partial
from typing import NamedTuple, Protocol

from tecken.errors import (
    Malformed,
    MalformedPageFile,
    NotFound,
    SourceDisabled,
    StoreUnavailable,
    TooLarge,
    Unavailable,
)
from tecken.metrics import PREPARATION_SECONDS, PREPARATIONS
from tecken.storage.backends.files import gzip_chunks
from tecken.storage.port import FetchedText, NativeStamp, NativeText, OwnFiles, PageFiles, SymbolSource
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.lock import ConversionLock
from tecken.symbolication.conversion.page_file_builder import Conversion, Converted
from tecken.symbolication.conversion.status import ConversionTracker, EarlyFrames, dump_frame
from tecken.symbolication.page_reader import read_header
from tecken.symbols.ids import ObjectId, is_zero_debug_id, normal_debug_id
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.lookup import Frame
from tecken.symbols.pagefile.convert import PageFileWriter, ScannedModule
from tecken.symbols.pagefile.file import Header

logger = logging.getLogger(__name__)

# Conversions of a module in a row whose symbol file is replaced meanwhile.
TRIES = 3

# Seconds. An upstream may send a Retry-After of a week; the module would be missing for as long.
LONGEST_UNREACHABLE = 3600


class MissingLifetimes(NamedTuple):
    """Lifetimes of missing markers by kind, in seconds."""

    absent: float
    malformed: float
    unreachable: float


# Bounds of one module's early frames, beside MAX_OFFSETS. Offsets beyond them wait for the page file. A
# single offset in the largest block that is allowed takes half a second.
MAX_BYTES = 1 << 20
MAX_SECONDS = 1.0


class EarlyPublisher:
    """Publisher of early frames. Its methods raise nothing: without early frames, requests wait longer."""

    def __init__(self, tracker: ConversionTracker, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracker = tracker
        self._clock = clock

    def revision(self, module: ObjectId) -> str | None:
        """Return the revision of the module's symbols, or None. Call it before their text is opened."""
        try:
            return self._tracker.revision(module)
        except Unavailable:
            return None

    def wanted(self, module: ObjectId) -> set[int]:
        """Return the offsets that requests wait for."""
        try:
            return self._tracker.wanted(module)
        except Unavailable:
            return set()

    def publish(
        self,
        module: ObjectId,
        revision: str | None,
        writer: PageFileWriter,
        code_file: str,
        offsets: set[int] | None = None,
    ) -> bool:
        """Publish the frames that requests wait for, from a scanned text. Return whether there are any.

        A text that is only a part of the module's must have the records of `offsets`.
        """
        try:
            offsets = self.wanted(module) if offsets is None else offsets
            if not offsets or revision is None:
                return False
            early = EarlyFrames(code_file, self._look_up(writer, offsets))
            return self._tracker.publish_frames(module, revision, early)
        except (Unavailable, MalformedPageFile) as error:
            logger.info("%s: cannot publish early frames: %s; requests wait for the page file", module, error)
            return False

    def withdraw(self, module: ObjectId) -> None:
        """Remove the frames of symbols that were replaced."""
        try:
            self._tracker.withdraw_frames(module)
        except Unavailable as error:
            logger.warning("%s: cannot remove early frames: %s; they will expire", module, error)

    def _look_up(self, writer: PageFileWriter, offsets: set[int]) -> dict[int, Frame | None]:
        end = self._clock() + MAX_SECONDS
        found: dict[int, Frame | None] = {}
        size = 0
        for offset, frame in writer.frames_at(offsets):
            size += len(dump_frame(frame))
            if size > MAX_BYTES:
                break
            found[offset] = frame
            if self._clock() > end:
                break
        return found


Register = Callable[[ObjectId, str], Iterable[ObjectId]]
"""Notes a name of the native files with a debug id, before it gets a page file.

It returns the names that are not noted any more, and raises Unavailable.
"""


class FetchRecords(Protocol):
    """Records of the modules of upstreams. The methods raise nothing."""

    def note(self, module: ObjectId, text: FetchedText, converted: Converted) -> None:
        """Record a module before its page file is written."""

    def forget(self, module: ObjectId) -> None:
        """Delete the record of a module that was uploaded meanwhile."""


class Converter:
    """Converter of modules on demand.

    `stamp` returns another value after other symbols of the module were uploaded. `lifetimes` returns the
    present lifetimes of missing markers.

    An upload can arrive during a conversion. The upload stores its file first and then removes the page
    file, header and markers. The conversion writes these first and then compares the stamp with the one from
    before (see `_convert_current`). Whichever comes last sees the other's work, so either the upload removes
    what the conversion has written, or the conversion notices the upload, removes it itself and starts over.
    If the stamp were compared before the page file is written, an upload in between would leave the page
    file of the former symbols in storage for ever.

    With `register`, all names of a module of native files share the page file of `ObjectId.without_name`:
    clients may request any name, and a conversion takes seconds. The page file of a name is a copy of that
    header.

    With `early`, the requests that wait get their frames as soon as the text is scanned. Early frames follow
    the same rule, and one more: `early` refuses those of symbols that an upload has replaced since the text
    was opened.

    With `fetched`, modules of upstreams are recorded, before their page file is written: a record without a
    page file does no harm, and a page file without a record would never be removed.
    """

    def __init__(
        self,
        *,
        source: SymbolSource,
        stamp: Callable[[ObjectId], object],
        page_files: PageFiles,
        store: PageStore,
        lock: ConversionLock,
        conversion: Conversion,
        lifetimes: Callable[[], MissingLifetimes],
        register: Register | None = None,
        early: EarlyPublisher | None = None,
        fetched: FetchRecords | None = None,
    ) -> None:
        self._early = early
        self._fetched = fetched
        self._register = register
        self._source = source
        self._stamp = stamp
        self._page_files = page_files
        self._store = store
        self._lock = lock
        self._conversion = conversion
        self._lifetimes = lifetimes

    def convert(self, module: ObjectId) -> Header | Missing:
        """Convert a module in this process and return its header, or the reason why it is missing.

        One process of the fleet converts a module at a time. A process that waited for the lock returns the
        result of the former holder. Raises Pending when the lock is held for too long.
        """
        with self._lock.hold(module):
            try:
                found = self._find_result(module)
                if isinstance(found, Header) and not found.is_current:
                    return self._renew(module, found)
                return found or self._convert_current(module, self._convert_or_mark)
            except Unavailable as error:
                return self._mark_unreachable(module, error)

    def reconvert(self, module: ObjectId) -> Header | Missing:
        """Convert a module that has a page file, which stays when that fails, and return its new header.

        Raises NotFound, SourceDisabled, Malformed, TooLarge or Unavailable.
        """
        with self._lock.hold(module):
            return self._convert_current(module, self._convert)

    def give_up(self, module: ObjectId, reason: str) -> Missing:
        """Mark the module as malformed."""
        return self._mark(module, Missing("malformed", reason), self._lifetimes().malformed)

    def _find_result(self, module: ObjectId) -> Header | Missing | None:
        """Return the result of an earlier conversion."""
        with suppress(StoreUnavailable):
            entry = self._store.headers([module]).get(module)
            if isinstance(entry, Missing):
                return entry
        # The page file counts, not a header in the store: the page file may have been deleted since.
        with suppress(NotFound, MalformedPageFile):
            return self._put(module, Header.parse(read_header(self._page_files, module)))
        return None

    def _renew(self, module: ObjectId, old: Header) -> Header | Missing:
        """Replace a page file of an older format version. Without its symbol file, the old one stays."""
        try:
            return self._convert_current(module, self._convert)
        except (NotFound, SourceDisabled, Malformed, TooLarge, Unavailable) as error:
            logger.info("%s: cannot convert it again: %s; its old page file stays", module, error)
            return old

    def _convert_current(
        self, module: ObjectId, convert: Callable[[ObjectId, object], Header | Missing]
    ) -> Header | Missing:
        """Convert a module until no upload has replaced its symbol file meanwhile; see the class."""
        for _ in range(TRIES):
            stamp = self._stamp(module)
            result = convert(module, stamp)
            # After everything is written, and never before.
            if self._stamp(module) == stamp:
                return result
            self._page_files.delete(module)
            with suppress(StoreUnavailable):
                self._store.forget(module)
            if self._fetched:
                self._fetched.forget(module)
        raise Unavailable(f"{module} is being uploaded again and again")

    def _convert_or_mark(
        self, module: ObjectId, stamp: object, requested: ObjectId | None = None
    ) -> Header | Missing:
        try:
            return self._convert(module, stamp, requested)
        except SourceDisabled as error:
            # A short lifetime, because an operator may enable the source at any moment.
            return self._mark(module, Missing("absent", str(error)), self._lifetimes().unreachable)
        except NotFound as error:
            return self._mark(module, Missing("absent", str(error)), self._lifetimes().absent)
        except (Malformed, TooLarge) as error:
            return self.give_up(module, str(error))

    def _convert(
        self, module: ObjectId, stamp: object, requested: ObjectId | None = None
    ) -> Header | Missing:
        """Convert a module. Requests wait for its early frames as those of `requested`."""
        native_id = stamp.native_id if isinstance(stamp, NativeStamp) else ""
        nameless = ObjectId.without_name(native_id, is_try=module.is_try)
        if self._register and native_id and module != nameless:
            return self._convert_native(module, nameless, self._register)
        requested = requested or module
        revision = self._early.revision(requested) if self._early else None
        on_scan = partial(self._handle_scan, module, stamp, revision, requested=requested)
        with PREPARATION_SECONDS.time(), self._source.open(module) as chunks:
            text = chunks.text if isinstance(chunks, FetchedText) else chunks
            if isinstance(text, NativeText):
                on_scan = partial(on_scan, debug_id=text.debug_id)
                self._publish_part(requested, text, on_scan)
            with self._conversion.of(chunks, on_scan, native_id) as converted:
                if self._fetched and isinstance(chunks, FetchedText):
                    self._fetched.note(module, chunks, converted)
                self._page_files.write(module, converted.chunks())
            PREPARATIONS.labels(result="ready").inc()
            return self._put(module, converted.header)

    def _publish_part(self, requested: ObjectId, text: NativeText, on_scan: Callable[..., None]) -> None:
        """Publish early frames from a part of the text of native files: the whole one takes seconds."""
        offsets = self._early.wanted(requested) if self._early and text.part else set()
        if not offsets or not text.part:
            return
        try:
            with closing(text.part(offsets)) as part:
                self._conversion.scan(part, partial(on_scan, offsets=offsets))
        except (Malformed, TooLarge, Unavailable) as error:
            logger.info(
                "%s: cannot look up frames early: %s; requests wait for all symbols", requested, error
            )

    def _convert_native(self, module: ObjectId, nameless: ObjectId, register: Register) -> Header | Missing:
        """Convert the native files of a debug id, unless that is done, and give their header to a name."""
        # Before anything is read: an upload of another file then removes this name, too.
        for other in register(module, nameless.debug_id):
            self._page_files.delete(other)
            with suppress(StoreUnavailable):
                self._store.forget(other)
        convert = partial(self._convert_or_mark, requested=module)
        for _ in range(TRIES):
            with self._lock.hold(nameless):
                found = self._find_result(nameless)
                is_current = isinstance(found, Missing) or (found and found.is_current)
                result = found if is_current and found else self._convert_current(nameless, convert)
            if isinstance(result, Missing):
                return self._mark(module, result, getattr(self._lifetimes(), result.kind))
            self._page_files.write(module, [result.raw])
            # Uploads remove the page file of the id before those of its names. So if the former is still the
            # same, they will remove the latter.
            again = self._find_result(nameless)
            if isinstance(again, Header) and again.raw == result.raw:
                return self._put(module, result)
            self._page_files.delete(module)
        raise Unavailable(f"{module} is being uploaded again and again")

    def _handle_scan(
        self,
        module: ObjectId,
        stamp: object,
        revision: str | None,
        writer: PageFileWriter,
        scanned: ScannedModule,
        *,
        requested: ObjectId,
        debug_id: str = "",
        offsets: set[int] | None = None,
    ) -> None:
        """Publish early frames. Raises Malformed for symbols of another build."""
        # Native files without an id have the one of their path.
        if not (isinstance(stamp, NativeStamp) and is_zero_debug_id(scanned.debug_id)):
            _check_debug_id(debug_id or module.debug_id, scanned.debug_id)
        if not self._early:
            return
        if not self._early.publish(requested, revision, writer, scanned.code_file, offsets):
            return
        if not self._has_stamp(module, stamp):
            self._early.withdraw(requested)

    def _has_stamp(self, module: ObjectId, stamp: object) -> bool:
        with suppress(Unavailable):
            return self._stamp(module) == stamp
        return False

    def _put(self, module: ObjectId, header: Header) -> Header:
        with suppress(StoreUnavailable):
            self._store.put_header(module, header.raw)
        return header

    def _mark_unreachable(self, module: ObjectId, error: Unavailable) -> Missing:
        seconds = min(error.retry_after or self._lifetimes().unreachable, LONGEST_UNREACHABLE)
        return self._mark(module, Missing("unreachable", str(error)), seconds)

    def _mark(self, module: ObjectId, missing: Missing, seconds: float) -> Missing:
        logger.info("%s is %s: %s", module, *missing)
        PREPARATIONS.labels(result=missing.kind).inc()
        # The marker only saves work. Without the store, each request gets the result from the queue again.
        with suppress(StoreUnavailable):
            self._store.put_missing(module, missing, max(1, round(seconds)))
        return missing


def _check_debug_id(expected: str, debug_id: str) -> None:
    """Raise Malformed for symbols of another build. A renamed debug file is accepted."""
    normal = normal_debug_id(debug_id)
    if normal != expected:
        raise Malformed(f"the symbol file is of another build: its MODULE record says {normal}")


class Importer:
    """Import of symbol files.

    `publish` sends an invalidation and never raises. `forget_file` removes a file's entries from the presence
    cache.
    """

    def __init__(
        self,
        *,
        files: OwnFiles,
        page_files: PageFiles,
        store: PageStore,
        lock: ConversionLock,
        conversion: Conversion,
        publish: Callable[[ObjectId], None],
        forget_file: Callable[[FileKey, str, str], None],
    ) -> None:
        self._files = files
        self._page_files = page_files
        self._store = store
        self._lock = lock
        self._conversion = conversion
        self._publish = publish
        self._forget_file = forget_file

    def import_file(self, read: Callable[[], Iterable[bytes]]) -> Header:
        """Store a symbol file and its page file under the names in its MODULE record, replacing older ones.

        `read` returns the file's bytes (plain, gzip or zstd) and is called twice. The new header is stored at
        once, and an invalidation is published.

        Raises:
            Malformed: It is not a symbol file.
            TooLarge: It exceeds a limit.
            BadModule: Its MODULE record has names that cannot be stored.
            Unavailable: The storage does not respond, or the disk is full.
        """
        with self._conversion.of(read()) as converted:
            header = converted.header
            module = ObjectId.parse(header.metadata.debug_file, header.metadata.debug_id)
            # Under the conversion lock: a worker that converts the former file at the same time would write
            # its page file after this one.
            with self._lock.hold(module):
                self._files.put(symbol_file(module), gzip_chunks(self._conversion.text(read())))
                self._page_files.write(module, converted.chunks())
                with suppress(StoreUnavailable):
                    self._store.put_header(module, header.raw)
        self._publish(module)
        # On failure, a download may be answered with 404 until the entries of the presence cache expire.
        with suppress(Unavailable):
            self._forget_file(symbol_file(module), header.metadata.code_file, header.metadata.code_id)
        return header


class ModuleInvalidator:
    """Removal of everything derived from a module's former symbols, after an upload.

    `publish` sends an invalidation and never raises. `send` puts a job that converts the module into the
    queue.
    """

    def __init__(
        self,
        *,
        page_files: PageFiles,
        store: PageStore,
        tracker: ConversionTracker,
        publish: Callable[[ObjectId], None],
        send: Callable[[ObjectId], None],
    ) -> None:
        self._page_files = page_files
        self._store = store
        self._tracker = tracker
        self._publish = publish
        self._send = send

    def invalidate(self, module: ObjectId) -> None:
        """Remove everything derived from the module's former symbols.

        Call it after the new symbol file is stored and before the client has its response. It may be
        repeated.

        Only the deletion of the page file has to succeed: everything else expires, and a module that is not
        converted ahead of demand is converted on demand.

        Raises:
            Unavailable: The page file may still exist. The upload must fail, so that the client repeats it.
        """
        # The page file first, then the header, then the invalidation. In another order a process could load
        # the former header again from the tier below and trust it for a full `process_header_seconds`.
        self._page_files.delete(module)
        with suppress(StoreUnavailable):
            self._store.forget(module)
        with suppress(Unavailable):
            self._tracker.forget(module)
        self._publish(module)
        try:
            self._send(module)
        except Unavailable as error:
            logger.warning(
                "%s: cannot queue its conversion: %s; it will be converted on demand", module, error
            )

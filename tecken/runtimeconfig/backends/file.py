"""Backend in a file, for the processes of one host, without Redis.

The file is JSON: {"version": 8, "change": {...}, "texts": {"symbolicate_max_jobs": "20"}}. The directory of
the same name with the suffix `.d` contains a report per process and the files is-under-maintenance and
uploads-closed, which are valid while they exist, with any content: `touch` is enough.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tecken.errors import Conflict, Unavailable
from tecken.runtimeconfig import backend
from tecken.runtimeconfig.backend import LEVEL_KEYS, Change, ConfigHead, Level, Report, Values

LOCK_SECONDS = 1.0
# The beginning of the last line of a maintenance file that has an end.
UNTIL = "\nuntil "
NOTHING: dict[str, object] = {"version": 0, "change": None, "texts": {}}


class FileBackend:
    """Backend that raises Unavailable when its path cannot be read or contains anything else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._directory = path.with_name(f"{path.name}.d")
        self._processes = self._directory / "processes"
        self._cache: tuple[tuple[int, int, int], Values] | None = None

    def head(self) -> ConfigHead:
        """Return version, stamp and maintenance."""
        version, stamp, _texts = self.read()
        with self._errors():
            levels = [_read_maintenance(self._directory / key) for key in LEVEL_KEYS.values()]
        return ConfigHead(version, stamp, *levels)

    def read(self) -> Values:
        """Return the texts of the current version; create a missing file."""
        with self._errors():
            if not self._path.exists():
                with self._lock():
                    if not self._path.exists():
                        _replace(self._path, json.dumps(NOTHING) + "\n")
            return self._read()

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        """Replace all texts. Raise Conflict unless the version is `expected`."""
        # This creates a missing file, which takes the lock: it must come before the lock below.
        self.read()
        with self._errors(), self._lock():
            version = self._read().version
            if version != expected:
                raise Conflict(f"the configuration has version {version}, not {expected}")
            document = {"version": change.version, "change": change._asdict(), "texts": dict(texts)}
            _replace(self._path, json.dumps(document, indent=2) + "\n")

    def report(self, report: Report) -> None:
        """Store the report of this process."""
        with self._errors():
            self._processes.mkdir(parents=True, exist_ok=True)
            _replace(self._processes / report.process, json.dumps(report._asdict()))

    def reports(self) -> list[Report]:
        """Return the reports of the last REPORT_SECONDS, and delete older ones."""
        with self._errors():
            reports = map(_read_report, sorted(self._processes.glob("[!.]*")))
            return [report for report in reports if report is not None]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        """Begin maintenance until `until`; end it when `text` is None."""
        path = self._directory / LEVEL_KEYS[level]
        with self._errors(), self._lock():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                _replace(path, text + (f"{UNTIL}{until.isoformat()}" if until else ""))

    @contextmanager
    def subscribe(self) -> Iterator[FileBackend]:
        """Return itself: a file sends no messages, so changes are found by polling."""
        yield self

    def next(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(max(seconds, 0.0))

    def _read(self) -> Values:
        """Return the values, from the cache while inode, time and size of the file are unchanged."""
        # The mark is read before the content. If the file is replaced in between, the next poll reads it
        # again; the other order would keep the old content under the new mark.
        status = self._path.stat()
        mark = status.st_ino, status.st_mtime_ns, status.st_size
        if self._cache is None or self._cache[0] != mark:
            document = backend.Document.model_validate_json(self._path.read_bytes())
            if document.version < 0:
                raise ValueError(f"the version should not be {document.version}")
            stamp = backend.find_stamp(document.version, json.dumps(document.change))
            self._cache = mark, Values(document.version, stamp, document.texts)
        return self._cache[1]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self._path}: {error}") from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude the other processes and threads of this host."""
        self._directory.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        with (self._directory / "lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable(f"{self._path}: locked by another process") from None
                    time.sleep(0.01)
            try:
                yield
            finally:
                # Closing is not enough: a child forked meanwhile shares the open file, and with it the lock.
                fcntl.flock(lock, fcntl.LOCK_UN)


def _read_maintenance(path: Path) -> str | None:
    """Return the text of a maintenance file; None when there is none, or its end has passed."""
    try:
        content = path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    text, mark, until = content.rpartition(UNTIL)
    if not mark:
        return content
    try:
        end = backend.to_utc(datetime.fromisoformat(until))
    except ValueError:
        return content
    return text if datetime.now(UTC) < end else None


def _read_report(path: Path) -> Report | None:
    """Return a report that still counts; delete it when it is too old."""
    try:
        if time.time() - path.stat().st_mtime <= backend.REPORT_SECONDS:
            return backend.parse_report(path.read_bytes())
        path.unlink()
    except FileNotFoundError:
        pass
    return None


def _replace(path: Path, text: str) -> None:
    """Replace a file in one step: a reader, or a crash, never leaves half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""The backend in a file: for the processes of one host, and no Redis.

The file is JSON: {"version": 8, "change": {...}, "texts": {"symbolicate_max_jobs": "20"}}. Beside it, in a
directory with the same name and `.d`: a file for each process, and is-under-maintenance and uploads-closed,
each of which counts while it is there, whatever it holds: touch is enough.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tecken.errors import Conflict, CouldNotAsk
from tecken.runtimeconfig import keys
from tecken.runtimeconfig.backend import (
    REPORT_SECONDS,
    Change,
    ConfigHead,
    Hint,
    Level,
    Report,
    Values,
    report_of,
    stamp_of,
)

LOCK_SECONDS = 1.0
UNTIL = "\nuntil "  # before the last line of a file that goes at some time
NOTHING: dict[str, object] = {"version": 0, "change": None, "texts": {}}


class FileBackend:
    """A path that cannot be read, or holds something else, is CouldNotAsk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.d")
        self._processes = self._beside / "processes"
        self._seen: tuple[tuple[int, int, int], Values] | None = None

    def head(self) -> ConfigHead:
        values = self.read()
        return ConfigHead(
            values.version, values.stamp, self._level(keys.MAINTENANCE), self._level(keys.UPLOADS_CLOSED)
        )

    def read(self) -> Values:
        with _asking(self._path):
            try:
                return self._read()
            except FileNotFoundError:
                self._create()
                return self._read()

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        with _asking(self._path), self._locked():
            before = self.read().version
            if before != expected:
                raise Conflict(f"the configuration has version {before}, not {expected}")
            new = {"version": change.version, "change": change._asdict(), "texts": dict(texts)}
            _put(self._path, json.dumps(new, indent=2) + "\n")

    def report(self, report: Report) -> None:
        with _asking(self._processes):
            self._processes.mkdir(parents=True, exist_ok=True)
            _put(self._processes / report.process, json.dumps(report._asdict()))

    def reports(self) -> list[Report]:
        with _asking(self._processes):
            found = [_report(path) for path in _entries(self._processes)]
        return [report for report in found if report is not None]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        path = self._beside / keys.LEVELS[level]
        with _asking(path), self._locked():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                _put(path, text + (f"{UNTIL}{until.isoformat()}" if until else ""))

    @contextmanager
    def subscribe(self) -> Iterator[FileSubscription]:
        yield FileSubscription()

    def _read(self) -> Values:
        """Only when it is another file than the last time, or has another time or size."""
        found = self._path.stat()
        mark = found.st_ino, found.st_mtime_ns, found.st_size
        if self._seen is None or self._seen[0] != mark:
            self._seen = mark, _values(self._path)
        return self._seen[1]

    def _create(self) -> None:
        """Unless somebody else has just done so."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _written(self._path, json.dumps(NOTHING) + "\n") as new, suppress(FileExistsError):
            self._path.hardlink_to(new)

    def _level(self, key: str) -> str | None:
        path = self._beside / key
        with _asking(path):
            text, until = _maintenance(path)
            if until is not None and until <= datetime.now(UTC):
                self._expire(path)
                return None
            return text

    def _expire(self, path: Path) -> None:
        """Unless it was begun anew in the meantime."""
        with self._locked():
            _text, until = _maintenance(path)
            if until is not None and until <= datetime.now(UTC):
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Among the processes and threads of this host."""
        self._beside.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        with (self._beside / "lock").open("w") as lock:
            while not _taken(lock):
                if time.monotonic() > deadline:
                    raise CouldNotAsk(f"{self._path}: somebody else has it locked")
                time.sleep(0.01)
            try:
                yield
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked meanwhile has the file open too


class FileSubscription:
    """A file tells nothing: whoever waits looks at it when the time is over."""

    def next(self, seconds: float) -> Values | Hint | None:
        time.sleep(max(seconds, 0.0))
        return None


@contextmanager
def _asking(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:
        raise CouldNotAsk(f"{path}: {error}") from error


def _values(path: Path) -> Values:
    """Raises ValueError."""
    text = path.read_text()
    given = json.loads(text)
    if not isinstance(given, dict) or type(version := given.get("version")) is not int or version < 0:
        raise ValueError("should be JSON with a version")
    texts = given.get("texts")
    if not isinstance(texts, dict) or not all(isinstance(one, str) for one in texts.values()):
        raise ValueError("its texts should be text")
    return Values(version, stamp_of(version, given.get("change")), texts)


def _maintenance(path: Path) -> tuple[str | None, datetime | None]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return None, None
    said, mark, until = text.rpartition(UNTIL)
    try:
        return (said, datetime.fromisoformat(until)) if mark else (text, None)
    except ValueError:
        return text, None


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def _report(path: Path) -> Report | None:
    """Removes one that is too old to count."""
    try:
        if time.time() - path.stat().st_mtime > REPORT_SECONDS:
            path.unlink()
            return None
        return report_of(path.read_text())
    except FileNotFoundError:
        return None


def _put(path: Path, text: str) -> None:
    """Whoever reads it sees all of it, or what was there before."""
    with _written(path, text) as new:
        new.replace(path)


@contextmanager
def _written(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path`, for a moment."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with new.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield new
    finally:
        new.unlink(missing_ok=True)


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

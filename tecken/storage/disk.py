"""Free space of the directories that this site writes to, and files without a name.

An upload that fills a disk does more harm than one that is refused: SQLite, the append-only file of a Redis
server on the same disk and every conversion fail with it. So uploads stop while some space is left.

A file has no name until it is complete, so that a killed writer leaves nothing behind. A named temporary file
and a sweep would be shorter, and are what remains on file systems without O_TMPFILE (NFS, or other systems
than Linux). But such a file outlives its killed writer until the same directory is written to an hour later,
and a symbol file's directory rarely is: its path contains the debug id. A single directory for temporary
files could be swept, but os.replace fails when another file system is mounted below.

Source: open(2), O_TMPFILE.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

from tecken.errors import Unavailable

# File systems keep this share for root by default, and most monitors warn of less.
RESERVE_SHARE = 0.05
# Enough for page files, journals and temporary files of accepted uploads. More would waste large disks.
RESERVE_MOST_BYTES = 4 << 30
# A disk that is written to at 500 MB/s loses less than half of the largest reserve in this time.
READING_SECONDS = 2.0
# Retention, an operator or the end of other uploads make room; none of them is faster.
RETRY_AFTER_SECONDS = 60.0


class Volume(NamedTuple):
    """Directory, which need not exist yet. Its name states its purpose, with underscores."""

    name: str
    directory: Path


class Space(NamedTuple):
    """Reading of one volume, in bytes."""

    name: str
    free: int
    reserve: int

    @property
    def title(self) -> str:
        """Return the name of the volume for people."""
        return self.name.replace("_", " ")

    @property
    def why_not(self) -> str:
        """Return why nothing more should be written here; empty while there is room."""
        return self.why_no_room_for(0)

    def why_no_room_for(self, size: int) -> str:
        """Return why `size` bytes more should not be written here; empty while there is room."""
        if self.free - size >= self.reserve:
            return ""
        needed = f"{self.reserve:,} are kept free" + (f", and {size:,} are needed" if size else "")
        return f"the disk of {self.title} is full: {self.free:,} bytes are free, {needed}"


class DiskSpace:
    """Readings of several volumes, each at most READING_SECONDS old."""

    def __init__(self, volumes: Iterable[Volume], clock: Callable[[], float] = time.monotonic) -> None:
        self._volumes = tuple(volumes)
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: tuple[Space, ...] = ()
        self._read_at = float("-inf")

    def check(self, size: int = 0) -> None:
        """Check that `size` bytes more can be accepted.

        Raises:
            Unavailable: with the reason and `retry_after`.
        """
        for space in self.readings():
            if why := space.why_no_room_for(size):
                raise Unavailable(why, RETRY_AFTER_SECONDS)

    def readings(self) -> tuple[Space, ...]:
        """Return the free space of each volume that can be read."""
        if self._is_old() and self._lock.acquire(blocking=not self._readings):
            # One thread reads: a network file system may hang, and the others use the reading before.
            # Another thread may have read while this one waited for the lock.
            try:
                if self._is_old():
                    self._readings = tuple(space for space in map(measure, self._volumes) if space)
                    self._read_at = self._clock()
            finally:
                self._lock.release()
        return self._readings

    def last(self) -> tuple[Space, ...]:
        """Return the last readings without a new one, for log lines and headers."""
        return self._readings

    def _is_old(self) -> bool:
        return self._clock() - self._read_at >= READING_SECONDS


def measure(volume: Volume) -> Space | None:
    """Return the free space of `volume`, or None when its file system does not report it."""
    try:
        status = os.statvfs(find_existing(volume.directory))
    except OSError:
        return None
    # Some network file systems have no sizes at all.
    if not status.f_blocks:
        return None
    # An unprivileged process may use `f_bavail` blocks, which is less than `f_bfree`.
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    return Space(volume.name, free, reserve_of(total))


def reserve_of(total: int) -> int:
    """Return the bytes that are kept free on a disk of `total` bytes."""
    return min(int(total * RESERVE_SHARE), RESERVE_MOST_BYTES)


def find_existing(directory: Path) -> Path:
    """Return `directory` or its nearest parent that exists: storage appears with the first write."""
    return next((path for path in (directory, *directory.parents) if path.exists()), Path("/"))


# Files without a name

STAGED = re.compile(r".*#\d+", re.DOTALL)
STALE_SECONDS = 3600
NO_SUCH_THING = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def nameless(directory: Path) -> BinaryIO | None:
    """Open a file for writing in the directory, which is made; None where O_TMPFILE fails. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        return os.fdopen(os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o666), "wb")
    except OSError as error:
        if error.errno in NO_SUCH_THING:
            return None
        raise


def give_name(file: BinaryIO, path: Path) -> None:
    """Give the file its path in the same directory, and replace what is there. Raises OSError."""
    file.flush()
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        _link(file, directory, path.name)
    except FileExistsError:
        # A link replaces nothing. Only a writer killed between these two lines leaves a file behind.
        staged = f"{uuid4().hex}#1"
        _link(file, directory, staged)
        os.replace(staged, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def sweep(directory: Path) -> None:
    """Remove what killed writers left: `<any name>#<number>`, the form of obstore too. Raises OSError."""
    for staged in directory.glob("*#*"):
        if STAGED.fullmatch(staged.name):
            with suppress(FileNotFoundError):
                if time.time() - staged.stat().st_mtime > STALE_SECONDS:
                    staged.unlink()


def _link(file: BinaryIO, directory: int, name: str) -> None:
    # Naming a directory makes it linkat(2), which alone follows the link in /proc.
    os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=directory, follow_symlinks=True)

"""Places whose objects are listed and read one after the other: buckets and directories, for imports.

Objects come in the order of their paths, so that a second listing has the same order. A bucket is listed in
pages, so its number of objects does not matter. Of a directory, the names in one directory are in memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

from tecken.errors import InvalidInput, Unavailable
from tecken.storage.backends.bucket import UnlistedKey, bucket_for
from tecken.storage.place_urls import split_url
from tecken.storage.port import FetchLimits
from tecken.storage.upstreams.bucket import BucketTransport

NOT_LISTED = (
    "{}: a web server has no list of its files, so they cannot be imported: add it to SYMBOL_SOURCES instead"
)
OUTSIDE = "it is a link that leads out of the directory"
LINK = "it is a link to a directory"
NOT_UTF_8 = "its name is not UTF-8"
DEEP = "it is deeper than the files of any layout"
NOT_REGULAR = "it is no regular file"

# Directories between the place and a file. Those of layouts have at most five.
MAX_DEPTH = 12


class ListedObject(NamedTuple):
    """Object of a place. `problem` is the reason why it cannot be read; empty for all others.

    `path` is relative to the place; `size` is in bytes, as stored there. `is_lost` is about a directory that
    may have more objects, which nothing can list.
    """

    path: str
    size: int
    modified: datetime
    problem: str = ""
    is_lost: bool = False


class ListedPlace:
    """Bucket or directory that someone else fills."""

    def __init__(self, url: str, limits: Callable[[], FetchLimits]) -> None:
        """Open the place of a URL of `parse_place`. Raises InvalidInput."""
        if split_url(url).scheme in ("http", "https"):
            raise InvalidInput(NOT_LISTED.format(url))
        try:
            self._bucket = bucket_for(url, limits, create=False)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        self.name = self._bucket.name
        self.directory = self._bucket.directory
        self._transport = BucketTransport(self._bucket, limits)

    @classmethod
    def parse(cls, source: str, limits: Callable[[], FetchLimits]) -> Self:
        """Return the place of a URL or of the path of a directory. Raises InvalidInput."""
        try:
            is_url = "://" in source
            return cls(source if is_url else Path(source).absolute().as_uri(), limits)
        except ValueError as error:
            raise InvalidInput(str(error)) from error

    def objects(self) -> Iterator[ListedObject]:
        """Yield all objects, ordered by their paths. Raises Unavailable."""
        if self.directory is None:
            yield from self._list("", "")
            return
        if not self.directory.is_dir():
            raise Unavailable(f"{self.name}: no such directory")
        root = self.directory.resolve()
        yield from _walk(root, root)

    def _list(self, prefix: str, after: str) -> Iterator[ListedObject]:
        """Yield the objects of a bucket below a directory that come after a path.

        One key that obstore cannot represent ends a list. So the directories on the way to it are listed one
        by one, and only its own one is left out.
        """
        last = after
        try:
            for path, meta in self._bucket.entries(prefix):
                if path > after:
                    last = path
                    yield ListedObject(path, meta["size"], meta["last_modified"])
        except UnlistedKey:
            yield from self._list_children(prefix, last)

    def _list_children(self, prefix: str, after: str) -> Iterator[ListedObject]:
        try:
            directories, objects = self._bucket.children(prefix)
        except UnlistedKey as error:
            yield ListedObject(prefix, 0, datetime.fromtimestamp(0, UTC), str(error), is_lost=True)
            return
        found = dict(objects)
        for path in sorted([*found, *(f"{directory}/" for directory in directories)]):
            if meta := found.get(path):
                if path > after:
                    yield ListedObject(path, meta["size"], meta["last_modified"])
            elif f"{path}\U0010ffff" > after:
                yield from self._list(path.removesuffix("/"), after)

    def open(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read an object as stored. Raises NotFound, TooLarge or Unavailable."""
        return self._transport.get(path)


def _walk(directory: Path, root: Path, depth: int = 0) -> Iterator[ListedObject]:
    """Yield the files below a directory in the order of their paths, relative to `root`.

    Links are followed to files below `root` only: others could publish any file of this machine, or lead
    the walk into a circle.
    """
    try:
        with os.scandir(directory) as entries:
            # A directory is sorted as its path with a slash, as in a bucket.
            ordered = sorted(entries, key=lambda entry: entry.name + "/" * _is_directory(entry))
    except OSError as error:
        raise Unavailable(f"{directory} cannot be listed: {error.strerror}") from error
    for entry in ordered:
        if not _is_directory(entry):
            yield _describe(entry, root)
        elif depth < MAX_DEPTH:
            yield from _walk(Path(entry.path), root, depth + 1)
        else:
            yield _problem(Path(entry.path), root, DEEP)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _describe(entry: os.DirEntry[str], root: Path) -> ListedObject:
    path = Path(entry.path)
    try:
        entry.name.encode()
        status = entry.stat()
    except UnicodeError:
        return _problem(path, root, NOT_UTF_8)
    except OSError as error:
        return _problem(path, root, f"it cannot be read: {error.strerror}")
    if stat.S_ISDIR(status.st_mode):
        return _problem(path, root, LINK)
    if not stat.S_ISREG(status.st_mode):
        return _problem(path, root, NOT_REGULAR)
    if entry.is_symlink() and not path.resolve().is_relative_to(root):
        return _problem(path, root, OUTSIDE)
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return ListedObject(path.relative_to(root).as_posix(), status.st_size, modified)


def _problem(path: Path, root: Path, reason: str) -> ListedObject:
    # A name that is not UTF-8 could not be printed.
    shown = path.relative_to(root).as_posix().encode(errors="replace").decode()
    return ListedObject(shown, 0, datetime.fromtimestamp(0, UTC), reason)

"""Objects below a URL: in a local directory, S3, GCS or Azure, with obstore's errors translated."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NoReturn

import obstore
from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError
from obstore.store import HTTPStore, LocalStore, MemoryStore, ObjectStore, from_url

from tecken.errors import (
    AccessDenied,
    MalformedPageFile,
    NotFound,
    Throttled,
    TooLarge,
    Unavailable,
    redact_text,
)
from tecken.storage.disk import give_name, nameless, sweep
from tecken.storage.place_urls import parse_place
from tecken.storage.port import TOO_MANY_REQUESTS, FetchLimits, is_refusal

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions, GetResult, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

PART_BYTES = 8 << 20
PARTS_AT_ONCE = 3
# A client that does not read a download keeps one chunk of it in memory.
CHUNK_BYTES = 256 << 10
# Bytes between two spans that are cheaper to read than to skip with one more request.
MERGE_GAP = 128 << 10
# Bytes of a path segment: NAME_MAX of the usual file systems.
LONGEST_SEGMENT = 255
# Bytes of a key in S3, GCS and Azure.
LONGEST_KEY = 1024
NO_CONTAINER = ("NoSuchBucket", "ContainerNotFound")
# obstore's errors have the status in their text only.
STATUS = re.compile(r"status code: (\d{3}) ([^:\n]{0,40})")
# A bucket that we may read and not list answers 403 with this code for a file that it does not have.
NOT_LISTED = re.compile(
    r"403 Forbidden\b.*<Code>AccessDenied</Code>|403 Forbidden\b.*storage\.objects\.(get|list)"
)

_RUNTIME_OWNER: dict[str, int] = {}

Span = tuple[int, int]

# Storages without a server of their own that would check a signature.
WITHOUT_URLS = (LocalStore, MemoryStore, HTTPStore)


class UnlistedKey(Unavailable):
    """Key with an empty part, or with a part of dots, which ends the whole list of its directory."""


@contextmanager
def _unlisted_keys(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidPathError as error:
        detail = str(error).partition("\n")[0]
        raise UnlistedKey(f"{name}: a key cannot be listed: {detail}") from error


class Bucket:
    """Objects of one bucket or directory. Keys are relative paths with `/`; names in them need no quoting."""

    def __init__(
        self,
        name: str,
        store: Callable[[], ObjectStore],
        directory: Path | None = None,
        *,
        create: bool = True,
    ) -> None:
        self.name = name
        self._build_store = store
        self._directory = directory
        self._create = create

    @property
    def directory(self) -> Path | None:
        """Directory of the files; None where objects are no files."""
        return self._directory

    @property
    def is_local(self) -> bool:
        """Return whether the objects are files of a directory."""
        return self._directory is not None

    @property
    def _store(self) -> ObjectStore:
        return self._build_store()

    def get(self, key: str, start: int = 0, end: int | None = None) -> GetResult:
        """Open an object, whose body `chunks` reads. A span must begin before the object's end.

        Raises NotFound or Unavailable.
        """
        self.refuse_long(key, NotFound)
        options: GetOptions = {}
        if start or end is not None:
            options["range"] = {"offset": start} if end is None else (start, end)
        with self._errors_of(key, reading=True):
            return obstore.get(self._store, self._path(key), options=options)

    def head(self, key: str) -> ObjectMeta:
        """Return the size, etag and time of an object. Raises NotFound or Unavailable."""
        self.refuse_long(key, NotFound)
        with self._errors_of(key, reading=True):
            try:
                return obstore.head(self._store, self._path(key))
            except (FileNotFoundError, PermissionDeniedError):
                # Only the response to GET has a body, which shows a missing bucket and broken credentials.
                return obstore.get(self._store, self._path(key)).meta

    def chunks(self, result: GetResult) -> Iterator[bytes]:
        """Yield the body of an open object. Raises Unavailable."""
        with self._errors_of(result.meta["path"]):
            for chunk in result.stream(CHUNK_BYTES):
                yield bytes(chunk)

    def open_file(self, key: str) -> BinaryIO | None:
        """Open the file of an object; None where objects are no files. Raises NotFound or Unavailable."""
        if self._directory is None:
            return None
        self.refuse_long(key, NotFound)
        with self._errors_of(key, reading=True):
            return (self._directory / key).open("rb")

    def ranges(self, key: str, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of each span of an object.

        Raises NotFound, Unavailable, or MalformedPageFile for a span that is not wholly in the object.
        """
        if any(not 0 <= start < end for start, end in spans):
            raise MalformedPageFile(f"{self.name}: no such span in {key}")
        self.refuse_long(key, NotFound)
        runs = merge_spans(spans, MERGE_GAP)
        starts, ends = [start for start, _ in runs], [end for _, end in runs]
        try:
            with self._errors_of(key, reading=True):
                # Merged by us: obstore's own merging panics when a span starts past the end of the object.
                read = obstore.get_ranges(self._store, self._path(key), starts=starts, ends=ends, coalesce=0)
        except Unavailable as error:
            # A cloud responds with status 416, a directory with an InvalidRange.
            if "range" in str(error).lower():
                self._refuse_past_end(key, max(ends))
            raise
        return [self._cut(key, read, starts, span) for span in spans]

    def put(self, key: str, chunks: Iterable[bytes], attributes: Attributes | None = None) -> None:
        """Write an object from `chunks`; when they raise an error, nothing of them stays.

        Raises Unavailable or TooLarge.
        """
        # Refused before any chunk is read: the storage would refuse the name only after the whole upload.
        self.refuse_long(key, TooLarge)
        if self._directory and self._put_file(self._directory / key, chunks):
            return
        with self._errors_of(key, writing=True):
            obstore.put(
                self._store,
                self._path(key),
                iter(chunks),
                attributes=None if self.is_local else attributes,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    def _put_file(self, path: Path, chunks: Iterable[bytes]) -> bool:
        """Write a file that has no name until it is complete; return False where the system has none."""
        errors = partial(self._errors_of, path.name, writing=True)
        with errors():
            sweep(path.parent)
            file = nameless(path.parent)
        if file is None:
            return False
        with file:
            for chunk in chunks:
                with errors():
                    file.write(chunk)
            with errors():
                give_name(file, path)
        return True

    def delete(self, key: str) -> None:
        """Delete an object, if it exists. Raises Unavailable."""
        try:
            self.refuse_long(key, NotFound)
            with self._errors_of(key):
                obstore.delete(self._store, self._path(key))
        except NotFound:
            return

    def entries(self, prefix: str) -> Iterator[tuple[str, ObjectMeta]]:
        """Yield all objects below `prefix`, a path without a slash at its end.

        Raises Unavailable, and UnlistedKey for one that obstore cannot represent.
        """
        skip = len(self._path(""))
        try:
            with self._errors_of(prefix), _unlisted_keys(self.name):
                for batch in obstore.list(self._store, self._path(prefix)):
                    yield from ((meta["path"][skip:], meta) for meta in batch)
        except NotFound:
            return

    def children(self, prefix: str) -> tuple[list[str], list[tuple[str, ObjectMeta]]]:
        """Return the paths of the directories in a directory, and the objects in it. Raises as `entries`."""
        skip = len(self._path(""))
        with self._errors_of(prefix), _unlisted_keys(self.name):
            found = obstore.list_with_delimiter(self._store, self._path(prefix))
        objects = [(meta["path"][skip:], meta) for meta in found["objects"]]
        return [path[skip:] for path in found["common_prefixes"]], objects

    def sign(self, method: Literal["GET", "PUT"], key: str, seconds: float) -> str | None:
        """Return a URL that is valid for `seconds`; None for a directory. Raises Unavailable."""
        if isinstance(self._store, WITHOUT_URLS):
            return None
        with self._errors_of(key):
            return obstore.sign(self._store, method, self._path(key), timedelta(seconds=seconds))

    @property
    def has_urls(self) -> bool:
        """Return whether the storage has URLs that can be signed. Without a key to sign with, that fails."""
        return not isinstance(self._store, WITHOUT_URLS)

    def _path(self, key: str) -> str:
        return f"{self._directory}/{key}".lstrip("/") if self._directory else key

    def refuse_long(self, key: str, error: type[NotFound | TooLarge]) -> None:
        """Raise `error` for a key that the storage cannot have."""
        parts = key.split("/") if self.is_local else [key]
        longest = LONGEST_SEGMENT if self.is_local else LONGEST_KEY
        if any(len(part.encode()) > longest for part in parts):
            raise error(f"{self.name} allows no name as long as {key[:80]}...")

    @contextmanager
    def _errors_of(self, key: str, *, writing: bool = False, reading: bool = False) -> Iterator[None]:
        """Translate errors of obstore and of the file system."""
        refuse_after_fork()
        try:
            yield
        except FileNotFoundError as error:
            # A missing bucket must not look like a missing file: clients would cache each file as absent.
            if self._is_missing(error):
                raise Unavailable(f"{self.name}: no such bucket or directory") from error
            if writing:
                self._raise_unavailable(error)
            raise NotFound(f"{self.name} has no {key}") from None
        except (BaseError, OSError) as error:
            if reading:
                self._raise_refusal(key, str(error))
            self._raise_unavailable(error)

    def _raise_refusal(self, key: str, text: str) -> None:
        """Raise AccessDenied when the storage is up and does not give this one object."""
        status = STATUS.search(text)
        if status is None or not is_refusal(int(status[1])) or status[1] == "416":
            return
        # Any refusal of an upstream's bucket counts. Our own storage must give every object of ours, so there
        # only "403 AccessDenied" counts, which also means "missing" where the bucket may not be listed:
        # broken credentials must not make every file look absent. Health reports both.
        if not self._create or NOT_LISTED.search(text):
            raise AccessDenied(f"{self.name}: refused: {status[1]} {status[2]} for {key}") from None

    def _is_missing(self, error: FileNotFoundError) -> bool:
        """Return whether the bucket or directory itself is missing, so that its objects are unknown."""
        if self._directory is None:
            return any(code in str(error) for code in NO_CONTAINER)
        return not self._create and not self._directory.is_dir()

    def _raise_unavailable(self, error: Exception) -> NoReturn:
        # The text may have a signed URL, whose query is a secret.
        text = redact_text(str(error).partition("\n")[0])
        status = STATUS.search(str(error))
        is_throttled = status is not None and int(status[1]) == TOO_MANY_REQUESTS
        raise (Throttled if is_throttled else Unavailable)(f"{self.name}: {text}") from error

    def _refuse_past_end(self, key: str, end: int) -> None:
        with self._errors_of(key):
            size = obstore.head(self._store, self._path(key))["size"]
        if end > size:
            raise MalformedPageFile(f"{self.name}: {key} has only {size} bytes")

    def _cut(self, key: str, read: Sequence[obstore.Bytes], starts: list[int], span: Span) -> bytes:
        run = bisect_right(starts, span[0]) - 1
        begin = span[0] - starts[run]
        cut = bytes(memoryview(read[run])[begin : begin + span[1] - span[0]])
        if len(cut) != span[1] - span[0]:
            raise MalformedPageFile(f"{self.name}: {key} ends before byte {span[1]}")
        return cut


def refuse_after_fork() -> None:
    """Raise Unavailable in a child of a process that has used object storage.

    obstore's threads do not survive a fork, so the child would wait for ever.
    """
    if _RUNTIME_OWNER.setdefault("pid", os.getpid()) != os.getpid():
        raise Unavailable("object storage was used before this process was forked; use it only in children")


def merge_spans(spans: Iterable[Span], gap: int) -> list[Span]:
    """Return sorted spans that cover `spans` and are more than `gap` bytes apart."""
    runs: list[Span] = []
    for start, end in sorted(spans):
        if runs and start - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs


def bucket_for(url: str, limits: Callable[[], FetchLimits] = FetchLimits, *, create: bool = True) -> Bucket:
    """Return the bucket of a URL of `parse_place`.

    Credentials, region and endpoint come from the usual variables (`AWS_...`, `GOOGLE_...`, `AZURE_...`;
    `AWS_ENDPOINT_URL` for servers that are compatible with S3). The first write creates a directory. With
    `create=False` the bucket is an upstream's: a missing directory is Unavailable, and any refusal of a file
    is AccessDenied. Raises ValueError, without credentials in its text.
    """
    name, directory = parse_place(url)
    if directory:
        return Bucket(name, cache(LocalStore), directory, create=create)
    store = _cloud(url, limits)
    try:
        store()
    except (BaseError, ValueError) as error:
        raise ValueError(f"{name}: {str(error).partition(chr(10))[0]}") from error
    return Bucket(name, store, create=create)


def _cloud(url: str, limits: Callable[[], FetchLimits]) -> Callable[[], ObjectStore]:
    """Return a function that returns the store with the timeouts in force."""

    # Timeouts belong to obstore's client, so other timeouts need another client with new connections. Two
    # are kept, because a change reaches the threads of a process one after the other.
    @lru_cache(maxsize=2)
    def build(current: FetchLimits) -> ObjectStore:
        return from_url(url, client_options=_client(current), retry_config=_retries(current))

    return lambda: build(limits())


def _client(limits: FetchLimits) -> ClientConfig:
    return {
        # An endpoint on plain http is used only when the operator has configured it.
        "allow_http": True,
        "connect_timeout": timedelta(seconds=min(5.0, limits.timeout)),
        "read_timeout": timedelta(seconds=limits.timeout),
        "timeout": timedelta(seconds=limits.deadline),
    }


def _retries(limits: FetchLimits) -> RetryConfig:
    backoff = timedelta(milliseconds=100), timedelta(seconds=2)
    return {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=limits.deadline),
        "backoff": {"init_backoff": backoff[0], "max_backoff": backoff[1], "base": 2},
    }

"""Destination of backups: a directory or bucket with the parts of each, and objects that they share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import orjson
import zstandard
from django.utils import timezone

from tecken.errors import InvalidInput, Malformed, NotFound
from tecken.storage.backends.blobs import CHUNK_BYTES
from tecken.storage.backends.bucket import Bucket, bucket_for
from tecken.storage.port import FetchLimits

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE, REDIS_CACHE, FILES = "database", "redis-cache", "files"
OBJECTS: Final = "objects"
BACKUPS: Final = "backups"
PART_PATH: Final = re.compile(rf"{BACKUPS}/(\d{{8}}T\d{{6}}\.\d{{3}}Z)/([a-z0-9.-]+)")
# An object of gigabytes takes longer than a request of a client may.
LIMITS: Final = FetchLimits(timeout=60.0, deadline=6 * 3600.0)
LINE_BYTES: Final = 64 << 20


class BackupPart(NamedTuple):
    """Part of a backup, as the manifest describes it."""

    name: str
    size: int
    sha256: str


class FileEntry(NamedTuple):
    """File of the storage at the time of a backup. Small files have their bytes here and no object.

    `place` is `storage` or `try`, `modified` in seconds since 1970.
    """

    place: str
    path: str
    size: int
    etag: str
    modified: float
    sha256: str = ""
    data: str | None = None

    @property
    def object_name(self) -> str:
        """Name of the object with the content: another one for each version of a file."""
        # Content of native files is the same under the same path, in each place and after a restore.
        version = (self.path, self.size) if self.path.startswith("blob/") else self[:4]
        digest = hashlib.sha256(json.dumps(version).encode()).hexdigest()
        return f"{OBJECTS}/{digest[:2]}/{digest}"


class Manifest(NamedTuple):
    """Description of a complete backup."""

    format: int
    name: str
    release: str
    completed: str
    engine: str
    migrations: list[str]
    places: dict[str, str]
    page_files: bool
    files: int
    bytes: int
    parts: list[BackupPart]

    def part(self, name: str) -> BackupPart:
        """Return a part by its name. Raises Malformed."""
        for part in self.parts:
            if part.name == name:
                return part
        raise Malformed(f"{self.name}: the manifest has no {name}")

    def file_parts(self) -> list[BackupPart]:
        """Return the parts that list files, in the order in which they were written."""
        return [part for part in self.parts if part.name.startswith(FILES)]


class BackupArchive:
    """Destination of backups. Its methods raise Unavailable."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    @classmethod
    def open(cls, place: str) -> Self:
        """Return the destination at a path or URL. Raises InvalidInput."""
        try:
            return cls(
                bucket_for(place if "://" in place else Path(place).absolute().as_uri(), lambda: LIMITS)
            )
        except ValueError as error:
            raise InvalidInput(str(error)) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other backups out of this directory; a bucket has no lock. Raises InvalidInput."""
        if self.bucket.directory is None:
            yield
            return
        self.bucket.directory.mkdir(parents=True, exist_ok=True)
        with (self.bucket.directory / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InvalidInput(f"another backup to {self.bucket.name} is running") from None
            yield

    def names(self) -> tuple[list[str], list[str]]:
        """Return the names of complete and of incomplete backups, oldest first."""
        found: dict[str, set[str]] = {}
        for path, _ in self.bucket.entries(BACKUPS):
            if match := PART_PATH.fullmatch(path):
                found.setdefault(match[1], set()).add(match[2])
        names = sorted(found)
        complete = [name for name in names if MANIFEST in found[name]]
        return complete, [name for name in names if name not in complete]

    def new_name(self) -> str:
        """Return the name of a backup that begins now: its time in UTC."""
        now = timezone.now().isoformat(timespec="milliseconds")
        return re.sub(r"[-:]|\+.*", "", now) + "Z"

    def part_paths(self, name: str) -> list[str]:
        """Return the paths of all parts of a backup."""
        return sorted(path for path, _ in self.bucket.entries(f"{BACKUPS}/{name}"))

    def put(self, name: str, part: str, chunks: Iterable[bytes]) -> BackupPart:
        """Store a part of a backup."""
        digest, size = hashlib.sha256(), 0

        def measured() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        self.bucket.put(f"{BACKUPS}/{name}/{part}", measured())
        return BackupPart(part, size, digest.hexdigest())

    def read(self, name: str, part: BackupPart) -> Iterator[bytes]:
        """Yield the bytes of a part. Raises Malformed at the end when they are not those of the manifest."""
        path = f"{BACKUPS}/{name}/{part.name}"
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in self.bucket.chunks(self.bucket.get(path)):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        except NotFound:
            raise Malformed(f"{path}: missing") from None
        if size != part.size:
            raise Malformed(f"{path}: {size:,} bytes, not {part.size:,} as in the manifest")
        if digest.hexdigest() != part.sha256:
            raise Malformed(f"{path}: damaged: its SHA-256 is not that of the manifest")

    def check(self, name: str, part: BackupPart) -> None:
        """Read a part and compare it with the manifest. Raises Malformed."""
        for _ in self.read(name, part):
            pass

    def remove(self, name: str) -> None:
        """Remove a backup, but no objects."""
        # The manifest is first, so that an interruption leaves an incomplete backup.
        self.bucket.delete(f"{BACKUPS}/{name}/{MANIFEST}")
        for path in self.part_paths(name):
            self.bucket.delete(path)

    def complete(self, manifest: Manifest) -> None:
        """Write the manifest, which makes the backup a complete one."""
        body = manifest._asdict() | {"parts": [part._asdict() for part in manifest.parts]}
        text = json.dumps(body, sort_keys=True)
        document = {"manifest": body, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        content = json.dumps(document, indent=1, sort_keys=True).encode()
        self.bucket.put(f"{BACKUPS}/{manifest.name}/{MANIFEST}", [content])

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of a complete backup. Raises Malformed and NotFound."""
        path = f"{BACKUPS}/{name}/{MANIFEST}"
        raw = b"".join(self.bucket.chunks(self.bucket.get(path)))
        try:
            document = json.loads(raw)
            body = document["manifest"]
            if body["format"] != FORMAT:
                raise Malformed(
                    f"{path}: format {body['format']} is not known; use the release that wrote it"
                )
            text = json.dumps(body, sort_keys=True)
            if hashlib.sha256(text.encode()).hexdigest() != document["sha256"]:
                raise Malformed(f"{path}: damaged: its SHA-256 is another one")
            return Manifest(**body | {"parts": [BackupPart(**part) for part in body["parts"]]})
        except (ValueError, TypeError, KeyError) as error:
            raise Malformed(f"{path}: damaged: {error}") from error

    def file_lines(self, name: str, part: BackupPart) -> Iterator[FileEntry]:
        """Yield the files of a part. Raises Malformed."""
        return (FileEntry(*row) for row in unpack_lines(self.read(name, part), part.name))


# Lines


def pack_lines(rows: Iterable[Any]) -> Iterator[bytes]:
    """Yield compressed lines of JSON."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    for row in rows:
        if packed := compressor.compress(orjson.dumps(tuple(row)) + b"\n"):
            yield packed
    yield compressor.flush()


def unpack_lines(chunks: Iterable[bytes], name: str) -> Iterator[Any]:
    """Yield the values of compressed lines. Raises Malformed."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    try:
        for chunk in chunks:
            *lines, rest = (rest + decompressor.decompress(chunk)).split(b"\n")
            yield from map(orjson.loads, lines)
            if len(rest) > LINE_BYTES:
                raise Malformed(f"{name}: damaged: a line of more than {LINE_BYTES:,} bytes")
    except (zstandard.ZstdError, ValueError) as error:
        raise Malformed(f"{name}: damaged: {error}") from error
    if rest:
        raise Malformed(f"{name}: damaged: it ends within a line")


# Content


def copy(
    read: Callable[[], Iterable[bytes]],
    write: Callable[[Iterable[bytes]], None],
    open_spool: Callable[[], Any] | None,
) -> tuple[int, str]:
    """Copy content and return its size and SHA-256.

    obstore cannot write one object while it reads another one, so the content is kept in a temporary file
    where `open_spool` is given.
    """
    digest, size = hashlib.sha256(), 0

    def measured() -> Iterator[bytes]:
        nonlocal size
        for chunk in read():
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    if open_spool is None:
        write(measured())
    else:
        with open_spool() as spool:
            for chunk in measured():
                spool.write(chunk)
            spool.seek(0)
            write(iter(lambda: spool.read(CHUNK_BYTES), b""))
    return size, digest.hexdigest()

"""Both upload protocols, with the progress bar and the outcome of a batch of files.

Protocol v1: zip archives, each in a form. The server responds when every member is stored.

Protocol v2: announce the files, PUT each to the URL from the server, then complete the upload.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self
from urllib.parse import urljoin
from zipfile import ZIP_DEFLATED, ZipFile

from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from tecken.client.files import SymbolFile
from tecken.client.site import Failed, RequestRefused, Site

CHUNK_BYTES = 1 << 18


class Bar:
    """Progress bar in bytes on a terminal; a build log shows nothing. Several threads may move it."""

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(desc=title, total=total, unit="B", unit_scale=True, disable=None, leave=False)
        self._lock = threading.Lock()

    def move(self, size: float) -> None:
        """Move the bar forward by `size` bytes."""
        with self._lock:
            self._bar.update(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def read(self, path: Path) -> Iterator[bytes]:
        """Yield the content of a file in chunks, and move the bar after each."""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                self.move(len(chunk))


class Outcome(NamedTuple):
    """Result of a batch. `warnings` concern files that are stored; `uploads` are the server's numbers."""

    stored: int = 0
    there_before: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    uploads: tuple[int, ...] = ()

    def plus(self, other: Outcome) -> Outcome:
        """Return the outcome of both batches together."""
        return Outcome(
            self.stored + other.stored,
            self.there_before + other.there_before,
            self.problems + other.problems,
            self.warnings + other.warnings,
            self.uploads + other.uploads,
        )


def split_warnings(upload: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line for each file that the server refused, and for each that it stored with a warning."""
    refused: list[str] = []
    stored: list[str] = []
    for warning in upload.get("warnings") or ():
        lines = refused if warning.get("stored") is False else stored
        lines.append(f"{warning.get('key')}: {warning.get('message')}")
    return tuple(refused), tuple(stored)


def find_numbers(upload: Mapping[str, Any]) -> Iterable[int]:
    """Yield the number of the upload, which older servers do not send."""
    if isinstance(upload.get("id"), int):
        yield upload["id"]


# Protocol v1

# Limits of an archive with more than one file, unpacked. They bound the size of the temporary file.
MAX_BYTES: Final = 1 << 30
MAX_ARCHIVED_FILES: Final = 1000
DEFLATE_LEVEL: Final = 4
"""Level with which the server itself stores symbol files."""
STORED_AS_REGULAR: Final = (
    "the server stored them as regular symbols: use a token that has only upload.upload_try_symbols"
)
ZIP64_FROM: Final = 1 << 30
"""Size from which a member has 64-bit sizes. It is below 4 GiB, because a file may grow while it is read, and
deflate may enlarge it."""


def send_archives(site: Site, files: Iterable[SymbolFile], *, to_try: bool) -> Outcome:
    """Send the files in archives. One that the server refuses does not stop the others.

    Raises:
        RequestRefused: The server does not accept the token, or is no Tecken server.
        TryLater: The server did not respond, and all attempts are used up.
        OSError: A file cannot be read.
    """
    # One archive after the other, so that the temporary files never take more than one archive's space.
    outcome = Outcome()
    for number, batch in enumerate(batches(files), 1):
        outcome = outcome.plus(_send_archive(site, batch, f"symbols-{number}.zip", to_try))
    return outcome


def batches(
    files: Iterable[SymbolFile], max_bytes: int = MAX_BYTES, max_files: int = MAX_ARCHIVED_FILES
) -> Iterator[list[SymbolFile]]:
    """Yield the files in batches within both limits; a larger file is a batch of its own."""
    batch: list[SymbolFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == max_files or size + file.size > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def pack(files: Sequence[SymbolFile], archive: IO[bytes], bar: Bar) -> None:
    """Write the files into an archive. The same files always make the same archive."""
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as zipped:
        for file in files:
            with zipped.open(file.key, "w", force_zip64=file.size > ZIP64_FROM) as out:
                for chunk in bar.read(file.path):
                    out.write(chunk)


def _send_archive(site: Site, files: Sequence[SymbolFile], name: str, to_try: bool) -> Outcome:
    with tempfile.TemporaryFile(prefix="tecken-upload-") as archive:
        with Bar(f"packing {name}", sum(file.size for file in files)) as bar:
            pack(files, archive, bar)
        with Bar(f"sending {name}", archive.tell()) as bar:
            form = {"try": "1"} if to_try else {}
            read = CallbackIOWrapper(bar.move, archive, "read")
            try:
                response = site.post("upload/", data=form, files={name: (name, read, "application/zip")})
            except Failed as error:
                return Outcome(problems=(f"{name} with {len(files)} files, first {files[0].key}: {error}",))
    return _read_outcome(files, response.get("upload", {}), to_try)


def _read_outcome(files: Sequence[SymbolFile], upload: Mapping[str, Any], to_try: bool) -> Outcome:
    if to_try and not upload.get("try_symbols"):
        return Outcome(problems=(STORED_AS_REGULAR,))
    before, ignored = upload.get("skipped_keys") or [], upload.get("ignored_keys") or []
    refused, warnings = split_warnings(upload)
    # Newer servers have a warning with the reason for each ignored file.
    silent = [key for key in ignored if not any(line.startswith(f"{key}: ") for line in refused)]
    return Outcome(
        stored=len(files) - len(before) - len(silent) - len(refused),
        there_before=len(before),
        problems=(*(f"{key}: the server ignores such files" for key in silent), *refused),
        warnings=warnings,
        uploads=tuple(find_numbers(upload)),
    )


# Protocol v2

PROTOCOL: Final = "http-put"
MAX_FILES: Final = 1024
"""Largest number of files in one announcement."""
SENDERS: Final = 4
GZIP_LEVEL: Final = 4
"""Level with which the server itself stores symbol files."""

Action = Mapping[str, Any]


def send_direct(site: Site, files: Sequence[SymbolFile]) -> Outcome:
    """Send the files. One that the server or its storage refuses does not stop the others.

    The token decides whether they are symbols of a try build.

    Raises:
        Failed: The server does not accept the announcement.
        RequestRefused: The server does not accept the token, or is no Tecken server.
        TryLater: The server or its storage did not respond, and all attempts are used up.
        OSError: A file cannot be read.
    """
    outcome = Outcome()
    for start in range(0, len(files), MAX_FILES):
        outcome = outcome.plus(_send_announced(site, files[start : start + MAX_FILES]))
    return outcome


def _send_announced(site: Site, files: Sequence[SymbolFile]) -> Outcome:
    with Bar("reading", sum(file.size for file in files)) as bar:
        announcement = [_describe(file, bar) for file in files]
    response = site.post("upload/v2/", json={"files": announcement})
    actions = _read_actions(response)
    by_type = {
        kind: [f for f in files if actions[f.key]["type"] == kind] for kind in ("upload", "skip", "error")
    }
    problems = {file.key: actions[file.key]["msg"] for file in by_type["error"]}
    upload: Mapping[str, Any] = {}
    if by_type["upload"]:
        not_sent = _put_all(site, by_type["upload"], actions)
        rejected, upload = _complete(site, response["id"])
        problems |= rejected | not_sent
    # The server finds some files to be duplicates only when it has received them.
    duplicates = {*_read_keys(upload, "skipped_keys")} & {file.key for file in by_type["upload"]}
    before = len(by_type["skip"]) + len(duplicates)
    refused, warnings = split_warnings(upload)
    return Outcome(
        stored=len(files) - before - len(problems) - len(refused),
        there_before=before,
        problems=(*(f"{key}: {problem}" for key, problem in problems.items()), *refused),
        warnings=warnings,
        uploads=tuple(find_numbers(response)),
    )


def _read_keys(upload: Mapping[str, Any], name: str) -> Iterator[str]:
    return (key.removeprefix("v1/") for key in upload.get(name) or ())


def _read_actions(response: Mapping[str, Any]) -> dict[str, Action]:
    if response.get("upload_protocol") != PROTOCOL:
        protocol = response.get("upload_protocol")
        raise RequestRefused(f"the server's storage takes {protocol}, which is not known here")
    return {entry["key"]: entry["action"] for entry in response["files"]}


def _describe(file: SymbolFile, bar: Bar) -> dict[str, object]:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in bar.read(file.path):
        digest.update(chunk)
    return {"key": file.key, "size": file.size, "md5_hash": digest.hexdigest()}


def _put_all(site: Site, files: Sequence[SymbolFile], actions: Mapping[str, Action]) -> dict[str, str]:
    """Send the files. Return the problems by key."""
    with Bar("sending", sum(file.size for file in files)) as bar, ThreadPoolExecutor(SENDERS) as pool:
        problems = pool.map(lambda file: _put(site, file, actions[file.key], bar), files)
        return {file.key: problem for file, problem in zip(files, problems, strict=True) if problem}


def _put(site: Site, file: SymbolFile, action: Action, bar: Bar) -> str:
    """Send one file. Return the problem, or nothing."""
    encoding = action.get("content_encoding")
    with _open_body(file, encoding) as body:
        size = body.seek(0, SEEK_END)

        # A function, because each attempt has to send the file from its start.
        def chunks() -> Iterator[bytes]:
            body.seek(0)
            while chunk := body.read(CHUNK_BYTES):
                yield chunk
                bar.move(len(chunk) * file.size / size)

        headers = {"Content-Length": str(size)} | ({"Content-Encoding": encoding} if encoding else {})
        try:
            site.put(urljoin(site.url, action["url"]), headers, chunks)
        except Failed as error:
            return str(error)
    return ""


@contextmanager
def _open_body(file: SymbolFile, encoding: str | None) -> Iterator[IO[bytes]]:
    """Open the file in the encoding that the storage requires."""
    if encoding is None:
        with file.path.open("rb") as plain:
            yield plain
        return
    if encoding != "gzip":
        raise Failed(f"the server wants {file.key} as {encoding}, which is not known here")
    with tempfile.TemporaryFile(prefix="tecken-upload-") as packed:
        with (
            file.path.open("rb") as plain,
            gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as out,
        ):
            shutil.copyfileobj(plain, out, CHUNK_BYTES)
        yield packed


def _complete(site: Site, upload: int) -> tuple[dict[str, str], Mapping[str, Any]]:
    """Complete the upload. Return the files that the server rejects, by key, and the upload."""
    try:
        return {}, site.post(f"upload/v2/{upload}/complete").get("upload", {})
    except Failed as error:
        problems = {str(entry["key"]): str(entry["error"]) for entry in error.document.get("files", ())}
        if not problems:
            raise
        return problems, {}

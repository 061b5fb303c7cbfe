"""Upload protocol v2: announce the files, PUT each to the URL from the server, then complete the upload."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import SEEK_END
from typing import IO, Any, Final
from urllib.parse import urljoin

from tecken.client.batch import CHUNK_BYTES, Bar, Outcome, find_numbers, split_warnings
from tecken.client.files import SymbolFile
from tecken.client.site import Failed, RequestRefused, Site

PROTOCOL: Final = "http-put"
MAX_FILES: Final = 1024
"""Largest number of files in one announcement."""
SENDERS: Final = 4
GZIP_LEVEL: Final = 4
"""Level with which the server itself stores symbol files."""

Action = Mapping[str, Any]


def send(site: Site, files: Sequence[SymbolFile]) -> Outcome:
    """Send the files. One that the server or its storage refuses does not stop the others.

    The token decides whether they are symbols of a try build.

    Raises:
        Failed: The server does not accept the announcement.
        RequestRefused: The server does not accept the token, or is none.
        TryLater: The server or its storage did not respond, and all attempts are used up.
        OSError: A file cannot be read.
    """
    outcome = Outcome()
    for start in range(0, len(files), MAX_FILES):
        outcome = outcome.plus(_send(site, files[start : start + MAX_FILES]))
    return outcome


def _send(site: Site, files: Sequence[SymbolFile]) -> Outcome:
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

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

from tecken.client.files import SymbolFile
from tecken.client.site import Failed, RequestRefused, Site
from tecken.client.uploads import (
    CHUNK_BYTES,
    MAX_BATCH_FILES,
    Bar,
    Result,
    Task,
    least,
    read_results,
)

PROTOCOL: Final = "http-put"
SENDERS: Final = 4
GZIP_LEVEL: Final = 4
"""Level with which the server itself stores symbol files."""

Action = Mapping[str, Any]


def send_direct(site: Site, files: Sequence[SymbolFile], task: Task) -> Iterator[Result]:
    """Send the files, and yield the results of each batch. A refused file does not stop the others.

    The token decides whether they are symbols of a try build.

    Raises:
        Failed: The server does not accept the announcement.
        RequestRefused: The server does not accept the token, or is no Tecken server.
        TryLater: The server or its storage did not respond, and all attempts are used up.
        OSError: A file cannot be read.
    """
    most = least(MAX_BATCH_FILES, task.limits.upload_direct_max_files)
    for start in range(0, len(files), most):
        yield from _send_announced(site, files[start : start + most], task)


def _send_announced(site: Site, files: Sequence[SymbolFile], task: Task) -> Iterator[Result]:
    with Bar("reading", sum(file.size for file in files)) as bar:
        announcement = [_describe(file, bar) for file in files]
    response = site.post("upload/v2/", json={"files": announcement, **task.origin.fields()})
    actions = _read_actions(response)
    by_type = {
        kind: [f for f in files if actions[f.key]["type"] == kind] for kind in ("upload", "skip", "error")
    }
    problems = {file.key: str(actions[file.key]["msg"]) for file in by_type["error"]}
    upload: dict[str, Any] = {}
    if by_type["upload"]:
        not_sent = _put_all(site, by_type["upload"], actions)
        rejected, completed = _complete(site, response["id"])
        problems |= rejected | not_sent
        upload |= completed
    # The server finds some files to be duplicates only when it has received them.
    skipped = [*(upload.get("skipped_keys") or ()), *(file.key for file in by_type["skip"])]
    yield from read_results(files, {**upload, "id": response.get("id"), "skipped_keys": skipped}, problems)


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

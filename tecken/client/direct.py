"""Upload protocol v2: announce the files, PUT each where the server says, then have the server check them."""

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
from tecken.client.outcome import Outcome, numbers_of, warnings_of
from tecken.client.progress import CHUNK_BYTES, Bar
from tecken.client.site import Failed, Refused, Site

PROTOCOL: Final = "http-put"
MOST_FILES: Final = 1024  # of one announcement
SENDERS: Final = 4
LEVEL: Final = 4  # of gzip, as the server itself stores symbol files

Action = Mapping[str, Any]


def send(site: Site, files: Sequence[SymbolFile]) -> Outcome:
    """A file that the server or its storage refuses fails alone.

    Whether they are symbols of a try build the token says. Raises Failed, Refused, TryLater or OSError.
    """
    outcome = Outcome()
    for start in range(0, len(files), MOST_FILES):
        outcome = outcome.plus(_send(site, files[start : start + MOST_FILES]))
    return outcome


def _send(site: Site, files: Sequence[SymbolFile]) -> Outcome:
    with Bar("reading", sum(file.size for file in files)) as bar:
        announced = [_announced(file, bar) for file in files]
    answer = site.post("upload/v2/", json={"files": announced})
    told = _actions(answer)
    by_type = {
        kind: [f for f in files if told[f.key]["type"] == kind] for kind in ("upload", "skip", "error")
    }
    problems = {file.key: told[file.key]["msg"] for file in by_type["error"]}
    upload: Mapping[str, Any] = {}
    if by_type["upload"]:
        not_sent = _put_all(site, by_type["upload"], told)
        found, upload = _complete(site, answer["id"])
        problems |= found | not_sent
    # What turned out to be stored already when the server had all of it.
    before = len(by_type["skip"]) + len({*_keys(upload, "skipped_keys")} & {f.key for f in by_type["upload"]})
    refused, warnings = warnings_of(upload)
    return Outcome(
        stored=len(files) - before - len(problems) - len(refused),
        there_before=before,
        problems=(*(f"{key}: {problem}" for key, problem in problems.items()), *refused),
        warnings=warnings,
        uploads=tuple(numbers_of(answer)),
    )


def _keys(upload: Mapping[str, Any], name: str) -> Iterator[str]:
    return (key.removeprefix("v1/") for key in upload.get(name) or ())


def _actions(answer: Mapping[str, Any]) -> dict[str, Action]:
    if answer.get("upload_protocol") != PROTOCOL:
        raise Refused(f"the server's storage takes {answer.get('upload_protocol')}, which is not known here")
    return {entry["key"]: entry["action"] for entry in answer["files"]}


def _announced(file: SymbolFile, bar: Bar) -> dict[str, object]:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in bar.read_path(file.path):
        digest.update(chunk)
    return {"key": file.key, "size": file.size, "md5_hash": digest.hexdigest()}


def _put_all(site: Site, files: Sequence[SymbolFile], told: Mapping[str, Action]) -> dict[str, str]:
    """What went wrong, by key."""
    with Bar("sending", sum(file.size for file in files)) as bar, ThreadPoolExecutor(SENDERS) as pool:
        problems = pool.map(lambda file: _put(site, file, told[file.key], bar), files)
        return {file.key: problem for file, problem in zip(files, problems, strict=True) if problem}


def _put(site: Site, file: SymbolFile, action: Action, bar: Bar) -> str:
    """What went wrong, or nothing."""
    encoding = action.get("content_encoding")
    with _body(file, encoding) as body:
        size = body.seek(0, SEEK_END)

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
def _body(file: SymbolFile, encoding: str | None) -> Iterator[IO[bytes]]:
    """The file's bytes as the storage shall have them."""
    if encoding is None:
        with file.path.open("rb") as plain:
            yield plain
        return
    if encoding != "gzip":
        raise Failed(f"the server wants {file.key} as {encoding}, which is not known here")
    with tempfile.TemporaryFile(prefix="tecken-upload-") as packed:
        with (
            file.path.open("rb") as plain,
            gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=LEVEL, mtime=0) as out,
        ):
            shutil.copyfileobj(plain, out, CHUNK_BYTES)
        yield packed


def _complete(site: Site, upload: int) -> tuple[dict[str, str], Mapping[str, Any]]:
    """Return what the server found wrong, by key, and the upload."""
    try:
        return {}, site.post(f"upload/v2/{upload}/complete").get("upload", {})
    except Failed as error:
        problems = {str(entry["key"]): str(entry["error"]) for entry in error.said.get("files", ())}
        if not problems:
            raise
        return problems, {}

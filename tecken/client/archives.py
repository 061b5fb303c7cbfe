"""Upload protocol v1: zip archives, each in a form. The server responds when every member is stored.

An archive that exceeds a limit of the server is split.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

from tqdm.utils import CallbackIOWrapper

from tecken.client.files import SymbolFile
from tecken.client.site import Failed, Site
from tecken.client.uploads import (
    MAX_BATCH_BYTES,
    MAX_BATCH_FILES,
    Bar,
    FileState,
    Result,
    Task,
    batches,
    describe_excess,
    least,
    read_results,
)

DEFLATE_LEVEL: Final = 4
"""Level with which the server itself stores symbol files."""
STORED_AS_REGULAR: Final = (
    "the server stored it as a regular symbol: use a token that has only upload.upload_try_symbols"
)
ZIP64_FROM: Final = 1 << 30
"""Size from which a member has 64-bit sizes. It is below 4 GiB, because a file may grow while it is read, and
deflate may enlarge it."""


def send_archives(site: Site, files: Sequence[SymbolFile], task: Task) -> Iterator[Result]:
    """Send the files in archives, and yield the results of each. A refused one does not stop the others.

    Raises:
        RequestRefused: The server does not accept the token, or is no Tecken server.
        TryLater: The server did not respond, and all attempts are used up.
        OSError: A file cannot be read.
    """
    limits = task.limits
    max_bytes = least(MAX_BATCH_BYTES, limits.upload_max_bytes, limits.upload_max_unpacked_bytes)
    # One archive after the other, so that the temporary files never take more than one archive's space.
    waiting = list(batches(files, max_bytes, least(MAX_BATCH_FILES, limits.upload_max_members)))[::-1]
    number = 0
    while waiting:
        batch = waiting.pop()
        number += 1
        try:
            upload = _send_archive(site, batch, f"symbols-{number}.zip", task)
        except Failed as error:
            if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(batch) > 1:
                middle = len(batch) // 2
                waiting += (batch[middle:], batch[:middle])
            else:
                yield from (Result(file.key, FileState.FAILED, str(error)) for file in batch)
        else:
            yield from _read_upload(batch, upload, task)


def pack(files: Sequence[SymbolFile], archive: IO[bytes], bar: Bar) -> None:
    """Write the files into an archive. The same files always make the same archive."""
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as zipped:
        for file in files:
            with zipped.open(file.key, "w", force_zip64=file.size > ZIP64_FROM) as out:
                for chunk in bar.read(file.path):
                    out.write(chunk)


def _send_archive(site: Site, files: Sequence[SymbolFile], name: str, task: Task) -> Mapping[str, Any]:
    """Send one archive, and return the server's description of the upload. Raises Failed."""
    with tempfile.TemporaryFile(prefix="tecken-upload-") as archive:
        with Bar(f"packing {name}", sum(file.size for file in files)) as bar:
            pack(files, archive, bar)
        if excess := describe_excess(archive.tell(), "upload_max_bytes", task.limits.upload_max_bytes):
            raise Failed(f"packed, it {excess}", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        with Bar(f"sending {name}", archive.tell()) as bar:
            read = CallbackIOWrapper(bar.move, archive, "read")
            response = site.post(
                "upload/",
                params=task.origin.fields(),
                data={"try": "1"} if task.to_try else {},
                files={name: (name, read, "application/zip")},
            )
    upload = response.get("upload")
    return upload if isinstance(upload, dict) else {}


def _read_upload(files: Sequence[SymbolFile], upload: Mapping[str, Any], task: Task) -> Iterator[Result]:
    if task.to_try and not upload.get("try_symbols"):
        return (Result(file.key, FileState.FAILED, STORED_AS_REGULAR) for file in files)
    return read_results(files, upload, {})

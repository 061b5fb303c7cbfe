"""Upload protocol v1: zip archives, each in a form. The server responds when every member is stored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

from tqdm.utils import CallbackIOWrapper

from tecken.client.batch import Bar, Outcome, find_numbers, split_warnings
from tecken.client.files import SymbolFile
from tecken.client.site import Failed, Site

# Limits of an archive with more than one file, unpacked. They bound the size of the temporary file.
MAX_BYTES: Final = 1 << 30
MAX_FILES: Final = 1000
DEFLATE_LEVEL: Final = 4
"""Level with which the server itself stores symbol files."""
STORED_AS_REGULAR: Final = (
    "the server stored them as regular symbols: use a token that has only upload.upload_try_symbols"
)
ZIP64_FROM: Final = 1 << 30
"""Size from which a member has 64-bit sizes. A file may grow while it is packed, and by being packed."""


def send(site: Site, files: Iterable[SymbolFile], *, to_try: bool) -> Outcome:
    """Send the files in archives. One that the server refuses does not stop the others.

    Raises:
        RequestRefused: The server does not accept the token, or is none.
        TryLater: The server did not respond, and all attempts are used up.
        OSError: A file cannot be read.
    """
    # One archive after the other, so that the temporary files never take more than one archive's space.
    outcome = Outcome()
    for number, batch in enumerate(batches(files), 1):
        outcome = outcome.plus(_send(site, batch, f"symbols-{number}.zip", to_try))
    return outcome


def batches(
    files: Iterable[SymbolFile], max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
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


def _send(site: Site, files: Sequence[SymbolFile], name: str, to_try: bool) -> Outcome:
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
    return Outcome(
        stored=len(files) - len(before) - len(ignored) - len(refused),
        there_before=len(before),
        problems=(*(f"{key}: the server ignores such files" for key in ignored), *refused),
        warnings=warnings,
        uploads=tuple(find_numbers(upload)),
    )

"""Upload protocol v1: zip archives, each in a form; the answer comes when every member is stored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

from tqdm.utils import CallbackIOWrapper

from tecken.client.files import SymbolFile
from tecken.client.outcome import Outcome, numbers_of, warnings_of
from tecken.client.progress import Bar
from tecken.client.site import Failed, Site

# What one archive may hold, unpacked, if it holds more than one file; so the temporary file is bounded.
MOST_BYTES: Final = 1 << 30
MOST_FILES: Final = 1000
LEVEL: Final = 4  # of deflate, as the server itself stores symbol files
NOT_APART: Final = (
    "the server took them as regular symbols: use a token that has only upload.upload_try_symbols"
)
ZIP64_FROM: Final = 1 << 30  # a member's size; it may grow while it is packed, and in packing


def send(site: Site, files: Iterable[SymbolFile], *, to_try: bool) -> Outcome:
    """An archive that the server refuses fails alone. Raises Refused, TryLater or OSError."""
    outcome = Outcome()
    for number, batch in enumerate(batches(files), 1):
        outcome = outcome.plus(_send(site, batch, f"symbols-{number}.zip", to_try))
    return outcome


def batches(
    files: Iterable[SymbolFile], most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES
) -> Iterator[list[SymbolFile]]:
    batch: list[SymbolFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == most_files or size + file.size > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def pack(files: Sequence[SymbolFile], archive: IO[bytes], bar: Bar) -> None:
    """The same files always make the same archive."""
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=LEVEL) as zipped:
        for file in files:
            with zipped.open(file.key, "w", force_zip64=file.size > ZIP64_FROM) as out:
                for chunk in bar.read_path(file.path):
                    out.write(chunk)


def _send(site: Site, files: Sequence[SymbolFile], name: str, to_try: bool) -> Outcome:
    with tempfile.TemporaryFile(prefix="tecken-upload-") as archive:
        with Bar(f"packing {name}", sum(file.size for file in files)) as bar:
            pack(files, archive, bar)
        with Bar(f"sending {name}", archive.tell()) as bar:
            form = {"try": "1"} if to_try else {}
            read = CallbackIOWrapper(bar.move, archive, "read")
            try:
                answer = site.post("upload/", data=form, files={name: (name, read, "application/zip")})
            except Failed as error:
                return Outcome(problems=(f"{name} with {len(files)} files, first {files[0].key}: {error}",))
    return _judged(files, answer.get("upload", {}), to_try)


def _judged(files: Sequence[SymbolFile], upload: Mapping[str, Any], to_try: bool) -> Outcome:
    if to_try and not upload.get("try_symbols"):
        return Outcome(problems=(NOT_APART,))
    before, ignored = upload.get("skipped_keys") or [], upload.get("ignored_keys") or []
    refused, warnings = warnings_of(upload)
    return Outcome(
        stored=len(files) - len(before) - len(ignored) - len(refused),
        there_before=len(before),
        problems=(*(f"{key}: the server ignores such files" for key in ignored), *refused),
        warnings=warnings,
        uploads=tuple(numbers_of(upload)),
    )

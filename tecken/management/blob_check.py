"""Check of the content that native files share: objects, their rows, and the references of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from django.utils import timezone

from tecken.errors import NotFound
from tecken.storage import blob_rows
from tecken.storage.backends.files import ObjectFiles
from tecken.storage.models import Blob
from tecken.storage.port import FileContent, Stored
from tecken.symbols.layouts import FileKey, blob_path, reference_path

# An upload writes its row after the content, up to hours later for a large archive.
YOUNGEST: Final = timedelta(days=1)


class BlobProblem(NamedTuple):
    """A difference, and the function that removes the wrong side of it."""

    text: str
    repair: Callable[[], object]


class BlobCheck:
    """Comparison of content, rows and references in one storage. Its methods raise Unavailable.

    Uploads write content, then the reference, then the row. They are listed in the other order, so that what
    was listed first has everything it needs; `files` has the references, which were listed before.
    """

    def __init__(self, files: ObjectFiles, listed: Mapping[FileKey, Stored], *, read: bool) -> None:
        self._files = files
        self._listed = listed
        self._read = read
        self._rows = {blob.sha256: blob for blob in Blob.objects.filter(bucket_name=files.name)}
        self._objects = dict(files.blobs.entries())

    def find_problems(self) -> Iterator[BlobProblem]:
        """Yield every difference."""
        for blob in self._rows.values():
            if problem := self._problem_of(blob):
                yield BlobProblem(f"{blob_path(blob.sha256)}: {problem}", partial(self._repair, blob))
        yield from self._find_lost_references()
        yield from self._find_objects_without_row()

    def _problem_of(self, blob: Blob) -> str:
        """Return what is wrong with the content of a row; empty when nothing is."""
        stored = self._objects.get(blob.sha256) or _stat(self._files, blob.sha256)
        if stored is None:
            return "a row and no content"
        if stored.size != blob.stored_size:
            return f"{stored.size} bytes, not {blob.stored_size} as in its row"
        if self._read and not self._files.blobs.is_intact(FileContent(blob.size, blob.sha256)):
            return "other content than its hash"
        return ""

    def _repair(self, blob: Blob) -> None:
        blob_rows.repair(self._files, blob)
        for key, stored in self._listed.items():
            # Looked up again each time: an upload may store the content at any moment.
            if stored.blob == blob.sha256 and _stat(self._files, blob.sha256) is None:
                self._files.delete(key)

    def _find_lost_references(self) -> Iterator[BlobProblem]:
        for key, stored in self._listed.items():
            is_lost = stored.blob and stored.blob not in self._objects and stored.blob not in self._rows
            if is_lost and _stat(self._files, stored.blob) is None:
                repair = partial(self._files.delete, key)
                yield BlobProblem(f"{reference_path(key)}: a reference to content that is not there", repair)

    def _find_objects_without_row(self) -> Iterator[BlobProblem]:
        """Yield content of no file. A file without a row may still be adopted by its next upload."""
        referenced = {stored.blob for stored in self._listed.values()}
        oldest = timezone.now() - YOUNGEST
        for digest, stored in self._objects.items():
            if digest in self._rows or digest in referenced or stored.modified > oldest:
                continue
            repair = partial(blob_rows.delete_if_unreferenced, self._files, digest)
            yield BlobProblem(f"{blob_path(digest)}: content of no file", repair)


def _stat(files: ObjectFiles, digest: str) -> Stored | None:
    try:
        return files.blobs.stat(digest)
    except NotFound:
        return None

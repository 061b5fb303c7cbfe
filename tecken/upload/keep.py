"""Keep a file that somebody uploaded, unless it is there already.

The file is stored, then what was made of the former one goes, then its row is written: a row says that all of
that is done, so whoever was killed in between is finished by the next upload of the same file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tecken import wiring
from tecken.errors import Absent, BadModule, CouldNotAsk, Malformed
from tecken.sources.files import gzipped
from tecken.sources.port import FileKey, OwnFiles, Stored, compressed, symbol_file
from tecken.symbols.ids import ModuleKey, code_id, module_key
from tecken.symbols.records import Module, described
from tecken.upload.models import NAME_CHARACTERS, FileUpload, Upload

logger = logging.getLogger(__name__)
HEAD_BYTES = 16 << 10  # MODULE and INFO records are in it

Outcome = Literal["stored", "skipped"]
Read = Callable[[], Iterable[bytes]]


class Content(NamedTuple):
    """`size` in bytes and SHA-256 of an unpacked file."""

    size: int
    digest: str


class Row(NamedTuple):
    """What the database says of an object: these bytes were stored with that etag."""

    content: Content
    etag: str


class Kept(NamedTuple):
    key: FileKey
    outcome: Outcome
    stored: Stored
    content: Content
    head: bytes
    update: bool


def storage(try_symbols: bool) -> OwnFiles:
    return wiring.try_files() if try_symbols else wiring.own_files()


def path(key: FileKey) -> str:
    """As the database and answers have it."""
    return f"v1/{key}"


def keep(upload: Upload, key: FileKey, read: Read, size: int) -> Outcome:
    """Store a file of `size` bytes and write its row, or skip what is there already.

    `read` gives the unpacked bytes and may be called twice. Raises CouldNotAsk, BadInput for a name that the
    storage cannot have, and what `read` raises; then an upload of the same file starts over.
    """
    kept = store(storage(upload.try_symbols), key, read, size, rows(upload, [key]).get(path(key), ()))
    record(upload, kept)
    return kept.outcome


def rows(upload: Upload, keys: Iterable[FileKey]) -> dict[str, list[Row]]:
    """What was ever stored under these keys, by path."""
    found: dict[str, list[Row]] = {}
    stored = FileUpload.objects.filter(
        key__in=list(map(path, keys)), bucket_name=upload.bucket_name, completed_at__isnull=False
    )
    for key, size, digest, etag in stored.values_list("key", "original_size", "content_hash", "etag"):
        found.setdefault(key, []).append(Row(Content(size, digest), etag))
    return found


def store(files: OwnFiles, key: FileKey, read: Read, size: int, known: Collection[Row]) -> Kept:
    """Everything but the database, so any thread may do it. Raises as `keep` does."""
    there = _stat(files, key)
    same = {row.content for row in known if there and row.etag == there.etag}
    if there and {content.size for content in same} == {size}:
        seen = _Seen()
        for _ in seen.passing(read()):
            pass
        if same == {seen.content}:
            return Kept(key, "skipped", there, seen.content, seen.head, update=False)
    seen = _Seen()
    chunks = seen.passing(read())
    stored = files.put(key, gzipped(chunks) if compressed(key) else chunks)
    if (module := module_of(key)) is not None:
        wiring.replaced(module)
    return Kept(key, "stored", stored, seen.content, seen.head, update=there is not None)


def record(upload: Upload, kept: Kept) -> None:
    """Write down what became of a file, in the thread that has the transaction."""
    said = _described(kept)
    with transaction.atomic():
        if kept.outcome == "stored":
            FileUpload.objects.update_or_create(
                upload=upload, key=path(kept.key), defaults=_columns(upload, kept, said)
            )
        else:
            upload.skipped_keys = [*upload.skipped_keys, path(kept.key)]
        if warning := _warning(kept, said):
            upload.warnings = [*upload.warnings, {"key": path(kept.key), "message": warning}]
        upload.save(update_fields=["skipped_keys", "warnings"])
        Upload.objects.filter(pk=upload.pk).update(members_done=F("members_done") + 1)
    try:
        wiring.known().changed(kept.key, *_code(said))
    except CouldNotAsk as error:
        logger.warning("%s: may be told to be missing for a while: %s", kept.key, error)


class _Seen:
    """Size, digest and first bytes of what passes."""

    def __init__(self) -> None:
        self.head = b""
        self._size = 0
        self._digest = hashlib.sha256()

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digest.update(chunk)
            self._size += len(chunk)
            if len(self.head) < HEAD_BYTES:
                self.head += chunk[: HEAD_BYTES - len(self.head)]
            yield chunk

    @property
    def content(self) -> Content:
        return Content(self._size, self._digest.hexdigest())


def _stat(files: OwnFiles, key: FileKey) -> Stored | None:
    try:
        return files.stat(key)
    except Absent:
        return None


def module_of(key: FileKey) -> ModuleKey | None:
    """The module whose symbols are looked up under this key."""
    with suppress(BadModule):
        module = module_key(key.debug_file, key.debug_id)
        return module if symbol_file(module) == key else None
    return None


def _described(kept: Kept) -> Module | None:
    if compressed(kept.key):
        with suppress(Malformed):
            return described(kept.head)
    return None


def _columns(upload: Upload, kept: Kept, said: Module | None) -> dict[str, object]:
    code_file, code = _code(said)
    return {
        "bucket_name": upload.bucket_name,
        "debug_file": kept.key.debug_file,
        "debug_id": kept.key.debug_id,
        "code_file": code_file,
        "code_id": code,
        "generator": _column(said.generator[:NAME_CHARACTERS]) if said else "",
        "size": kept.stored.size,
        "original_size": kept.content.size,
        "content_hash": kept.content.digest,
        "etag": kept.stored.etag,
        "compressed": compressed(kept.key),
        "update": kept.update,
        "try_symbols": upload.try_symbols,
        "completed_at": timezone.now(),
    }


def _code(said: Module | None) -> tuple[str, str]:
    """Code file and code id, each empty when the file does not say it."""
    if said is None:
        return "", ""
    file = _column(said.code_file) if len(said.code_file) <= NAME_CHARACTERS else ""
    with suppress(BadModule):
        return file, code_id(said.code_id)
    return file, ""


def _column(text: str) -> str:
    """PostgreSQL has no NUL in its text."""
    return text.replace("\0", "")


def _warning(kept: Kept, said: Module | None) -> str:
    """Why a symbol file that is stored will not symbolicate."""
    if not compressed(kept.key):
        return ""
    if said is None:
        return "no MODULE record: it will not symbolicate"
    if said.debug_id.upper() != kept.key.debug_id:
        return f"its MODULE record is of another build, {said.debug_id}: it will not symbolicate"
    return ""

"""What the database has of files that were uploaded: rows of stored files, and warnings of uploads."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tecken import wiring
from tecken.errors import BadModule, CouldNotAsk
from tecken.storage.models import BREAKPAD_FORMAT, NAME_CHARACTERS, UNKNOWN_FORMAT, Kind, SymbolFile
from tecken.storage.port import FileKey, Stored, compressed
from tecken.symbols.formats.breakpad import Module
from tecken.symbols.ids import build_id_of, code_id
from tecken.upload.models import Upload
from tecken.upload.usability import NATIVE, SymbolText

logger = logging.getLogger(__name__)
Outcome = Literal["stored", "skipped"]


class Content(NamedTuple):
    """`size` in bytes and SHA-256 of an unpacked file."""

    size: int
    digest: str


class Row(NamedTuple):
    """What the database has of an object: who stored these bytes with that etag, in which upload."""

    content: Content
    etag: str
    upload: int | None
    user: int | None
    email: str


class Kept(NamedTuple):
    """A file that is stored now. `is_adopted`: it was before, and no row describes it yet."""

    key: FileKey
    outcome: Outcome
    stored: Stored
    content: Content
    text: SymbolText
    update: bool = False
    is_adopted: bool = False


class Refused(NamedTuple):
    """A file that is not stored, since another one is and `upload_replace` keeps that."""

    key: FileKey
    reason: str


def path(key: FileKey) -> str:
    """As the database and answers have it."""
    return f"v1/{key}"


def rows(upload: Upload, keys: Iterable[FileKey]) -> dict[str, list[Row]]:
    """Return what was ever stored under these keys, by path, the newest last."""
    found: dict[str, list[Row]] = {}
    stored = SymbolFile.objects.filter(
        key__in=list(map(path, keys)), bucket_name=upload.bucket_name, completed_at__isnull=False
    )
    columns = (
        "key",
        "original_size",
        "content_hash",
        "etag",
        "upload_id",
        "upload__user_id",
        "upload__user__email",
    )
    for key, size, digest, *of_row in stored.order_by("pk").values_list(*columns):
        found.setdefault(key, []).append(Row(Content(size, digest), *of_row))
    return found


def record(upload: Upload, kept: Kept | Refused) -> None:
    """Write down what became of a file, in the thread that has the transaction."""
    key = path(kept.key)
    with transaction.atomic():
        if isinstance(kept, Refused):
            warn(upload, [{"key": key, "message": kept.reason, "stored": False}])
        else:
            _write_row(upload, kept)
            warn(upload, ({"key": key, "message": text} for text in kept.text.warnings()))
        upload.save(update_fields=["skipped_keys", "warnings"])
        Upload.objects.filter(pk=upload.pk).update(members_done=F("members_done") + 1)
    if isinstance(kept, Refused):
        return
    try:
        wiring.known().changed(kept.key, *_code(kept.text.module()))
    except CouldNotAsk as error:
        logger.warning("%s: downloads may answer 404 for a while: %s", kept.key, error)


def warn(upload: Upload, warnings: Iterable[dict[str, Any]]) -> None:
    """Add warnings to an upload, which the caller saves."""
    upload.warnings = [*upload.warnings, *warnings]


def warn_of_native_files(upload: Upload) -> None:
    """Add a warning for each native file whose module has no symbol file. Safe to repeat."""
    paths = [*upload.files.values_list("key", flat=True), *upload.skipped_keys]
    native = [key for key in (FileKey(*text.split("/")[1:]) for text in paths) if not compressed(key)]
    if not native:
        return
    symbolicated = _modules_with_symbols(upload, {key.debug_id for key in native})
    known = {(one["key"], one["message"]) for one in upload.warnings}
    for key in native:
        has_symbols = (key.debug_file.lower(), key.debug_id) in symbolicated
        if not has_symbols and (path(key), NATIVE) not in known:
            warn(upload, [{"key": path(key), "message": NATIVE}])
    upload.save(update_fields=["warnings"])


def _modules_with_symbols(upload: Upload, ids: Collection[str]) -> set[tuple[str, str]]:
    """Return names in lower case and ids, both of debug files and of code files."""
    rows = SymbolFile.objects.filter(key__endswith=".sym", completed_at__isnull=False)
    if not upload.try_symbols:
        rows = rows.filter(try_symbols=False)
    debug = rows.filter(debug_id__in=ids).values_list("debug_file", "debug_id")
    code = rows.filter(code_id__in=ids).values_list("code_file", "code_id")
    return {(name.lower(), some_id) for name, some_id in (*debug, *code)}


def _write_row(upload: Upload, kept: Kept) -> None:
    if kept.outcome == "skipped":
        upload.skipped_keys = [*upload.skipped_keys, path(kept.key)]
        if kept.is_adopted:
            SymbolFile.objects.create(key=path(kept.key), **_columns(upload, kept))
        return
    if kept.update:
        _mark_replaced(upload, kept)
    SymbolFile.objects.update_or_create(upload=upload, key=path(kept.key), defaults=_columns(upload, kept))


def _mark_replaced(upload: Upload, kept: Kept) -> None:
    """Note in the rows of the former file which upload replaced it, and log who did."""
    former = SymbolFile.objects.filter(
        key=path(kept.key), bucket_name=upload.bucket_name, completed_at__isnull=False, replaced_by=None
    ).exclude(upload=upload)
    newest = former.select_related("upload__user").order_by("-pk").first()
    former.update(replaced_by=upload)
    owner = newest.upload if newest else None
    logger.log(
        logging.INFO if owner and owner.user_id == upload.user_id else logging.WARNING,
        "%s: replaced by upload %s of %s; it was stored by %s",
        path(kept.key),
        upload.pk,
        upload.user.email or upload.user,
        f"upload {owner.pk} of {owner.user.email or owner.user}" if owner else "no upload",
    )


def _columns(upload: Upload, kept: Kept) -> dict[str, object]:
    module = kept.text.module()
    code_file, code = _code(module)
    return {
        "bucket_name": upload.bucket_name,
        "debug_file": kept.key.debug_file,
        "debug_id": kept.key.debug_id,
        "code_file": code_file,
        "code_id": code,
        **_object_columns(kept.key, module, code),
        "generator": _column(module.generator[:NAME_CHARACTERS]) if module else "",
        "size": kept.stored.size,
        "original_size": kept.content.size,
        "content_hash": kept.content.digest,
        "etag": kept.stored.etag,
        "compressed": compressed(kept.key),
        "update": kept.update,
        "try_symbols": upload.try_symbols,
        "completed_at": timezone.now(),
    }


def _object_columns(key: FileKey, module: Module | None, code: str) -> dict[str, object]:
    """Return what a file is, as far as its name and its head show."""
    if not compressed(key):
        return {"kind": Kind.UNKNOWN, "format": UNKNOWN_FORMAT, "build_id": "", "arch": ""}
    return {
        "kind": Kind.DEBUG,
        "format": BREAKPAD_FORMAT,
        "build_id": build_id_of(code, key.debug_id),
        "arch": _column(module.arch[:NAME_CHARACTERS]) if module else "",
    }


def _code(module: Module | None) -> tuple[str, str]:
    """Return code file and code id, each empty when the file does not have it."""
    if module is None:
        return "", ""
    file = _column(module.code_file) if len(module.code_file) <= NAME_CHARACTERS else ""
    with suppress(BadModule):
        return file, code_id(module.code_id)
    return file, ""


def _column(text: str) -> str:
    """PostgreSQL has no NUL in its text."""
    return text.replace("\0", "")

"""Rows of stored files, and the warnings of uploads: reasons why a stored file will not symbolicate.

The checks here cost little and are made while a file is stored. Conversion, which runs later in a worker,
finds the rest; `/explain/` and the page of an upload show its result.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO, Final, Literal, NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tecken.errors import BadModule, Malformed, Unavailable
from tecken.storage import blob_rows, source_code
from tecken.storage import services as storage_services
from tecken.storage.models import CONVERTIBLE_FORMATS, NAME_CHARACTERS, UNKNOWN_FORMAT, Kind, SymbolFile
from tecken.storage.port import FileContent, Stored
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.fetched import forget
from tecken.symbols.formats import HEAD_BYTES, FileReader, format_of, recognise
from tecken.symbols.formats.base import Format, ObjectInfo, UsabilityCheck
from tecken.symbols.formats.cabinet import Cabinet, read_cabinet, unpacked_name
from tecken.symbols.formats.keys import debugger_id
from tecken.symbols.formats.source_bundle import SourceEntry, read_entries
from tecken.symbols.ids import (
    ObjectId,
    build_id_of,
    code_id,
    debug_ids_of_code_id,
    is_windows_name,
    is_zero_debug_id,
    normal_debug_id,
)
from tecken.symbols.layouts import FileKey, FileType, object_of, parse_storage_path, storage_path
from tecken.upload.archive import IgnoredFile
from tecken.upload.models import Upload

logger = logging.getLogger(__name__)
Outcome = Literal["stored", "skipped"]


class StoredRow(NamedTuple):
    """Row of a stored object: its content and etag, and the upload and user that stored it."""

    content: FileContent
    etag: str
    upload: int | None
    user: int | None
    email: str


class StoredFile(NamedTuple):
    """File of an upload that is stored. `is_adopted`: it was stored before, and no row describes it yet."""

    key: FileKey
    outcome: Outcome
    stored: Stored
    content: FileContent
    text: SymbolText
    update: bool = False
    is_adopted: bool = False


class RefusedFile(NamedTuple):
    """File that is not stored, because `upload_replace` keeps another file under its key."""

    key: FileKey
    reason: str


def rows(upload: Upload, keys: Iterable[FileKey]) -> dict[str, list[StoredRow]]:
    """Return the rows of all files stored under these keys, by path, the newest last."""
    found: dict[str, list[StoredRow]] = {}
    stored = SymbolFile.objects.filter(
        key__in=list(map(storage_path, keys)), bucket_name=upload.bucket_name, completed_at__isnull=False
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
        found.setdefault(key, []).append(StoredRow(FileContent(size, digest), *of_row))
    return found


def record(upload: Upload, file: StoredFile | RefusedFile) -> None:
    """Write the row and the warnings of a file, and remove its entries from the presence cache."""
    key = storage_path(file.key)
    former = {name: getattr(upload, name) for name in ("skipped_keys", "warnings")}
    # One transaction: a row without its warnings or its count in `members_done` would never be corrected.
    with transaction.atomic():
        if isinstance(file, RefusedFile):
            warn(upload, [{"key": key, "message": file.reason, "stored": False}])
        else:
            _write_row(upload, file)
            warn(upload, ({"key": key, "message": text} for text in file.text.warnings()))
        # Thousands of files may have a warning, so a list that has not changed is not written again.
        if changed := [name for name, texts in former.items() if len(getattr(upload, name)) != len(texts)]:
            upload.save(update_fields=changed)
        Upload.objects.filter(pk=upload.pk).update(members_done=F("members_done") + 1)
    if isinstance(file, RefusedFile):
        return
    if file.outcome == "stored" or file.is_adopted:
        _forget_fetched(upload, file.key)
        # The conversion finds a native file by its row, so this follows the row.
        native = SymbolFile.objects.native(try_symbols=upload.try_symbols)
        for row in native.filter(key=key).order_by("-pk")[:1]:
            remove_derived_of_native(row, converts=upload.converts_ahead)
    try:
        storage_services.presence_cache().forget_file(file.key, *_code(file.key, file.text.info()))
    except Unavailable as error:
        logger.warning(
            "Cannot remove %s from the presence cache: %s; downloads may answer 404 for a while",
            file.key,
            error,
        )


def _forget_fetched(upload: Upload, key: FileKey) -> None:
    """Delete the record that the symbols of a module came from an upstream: its symbol file is here now."""
    module = object_of(key)
    if module is not None and not upload.try_symbols:
        forget([module])


def remove_derived_of_native(row: SymbolFile, *, converts: bool = True) -> None:
    """Remove everything that was made from the files of a native file's modules.

    With `converts` the modules may be converted ahead of demand. Raises Unavailable.
    """
    from tecken.storage.native import find_affected  # noqa: PLC0415 - as in `tecken.storage.services`

    native_ids = find_affected(row)
    other_ids = {some_id.upper() for some_id in (row.build_id, row.code_id) if some_id}
    if not native_ids:
        return
    symbolication_services.invalidate_native(native_ids, other_ids, is_try=row.try_symbols, converts=converts)
    with suppress(Unavailable):
        presence = storage_services.presence_cache()
        presence.forget_native({*native_ids, *other_ids}, row.code_file)
        presence.forget_build_id(row.build_id)


def warn(upload: Upload, warnings: Iterable[dict[str, Any]]) -> None:
    """Add warnings to an upload, which the caller saves."""
    upload.warnings = [*upload.warnings, *warnings]


def record_ignored(upload: Upload, ignored: Iterable[IgnoredFile]) -> None:
    """Set the ignored files of an upload, with a warning for each that has a reason. Safe to repeat."""
    files = list(ignored)
    known = {(warning["key"], warning["message"]) for warning in upload.warnings}
    upload.ignored_keys = [file.name for file in files]
    reasons = ((file.name, f"not stored: {file.reason}") for file in files if file.reason)
    warn(
        upload,
        (
            {"key": name, "message": text, "stored": False}
            for name, text in reasons
            if (name, text) not in known
        ),
    )
    upload.save(update_fields=["ignored_keys", "warnings"])


def warn_of_native_files(upload: Upload) -> None:
    """Add a warning for each native file that is not converted and whose module has no symbol file.

    Safe to repeat.
    """
    paths = [*upload.files.values_list("key", flat=True), *upload.skipped_keys]
    converted = set(_converted_paths(upload, paths))
    keys = [parse_storage_path(path) for path in paths if path not in converted]
    native = [
        key for key in keys if not key.file_type.is_compressed and key.file_type is not FileType.SOURCES
    ]
    if not native:
        return
    symbolicated = _modules_with_symbols(upload, {key.debug_id for key in native})
    known = {(warning["key"], warning["message"]) for warning in upload.warnings}
    unpacked = {_without_last_character(path) for path in converted}
    for key in native:
        # The file in a CAB file is converted: `xul.pdb` of `xul.pd_`.
        if key.file_name.endswith("_") and _without_last_character(storage_path(key)) in unpacked:
            continue
        has_symbols = (key.debug_file.lower(), key.debug_id) in symbolicated
        if not has_symbols and (storage_path(key), NATIVE) not in known:
            warn(upload, [{"key": storage_path(key), "message": NATIVE}])
    upload.save(update_fields=["warnings"])


def _without_last_character(path: str) -> str:
    return path[:-1]


def _converted_paths(upload: Upload, paths: Collection[str]) -> Iterable[str]:
    """Return those of native files that are converted here."""
    if not storage_services.converts_native_files():
        return []
    rows = SymbolFile.objects.native(try_symbols=upload.try_symbols)
    rows = rows.filter(key__in=paths, bucket_name=upload.bucket_name)
    return rows.values_list("key", flat=True)


def _modules_with_symbols(upload: Upload, ids: Collection[str]) -> set[tuple[str, str]]:
    """Return lower-case name and id of each debug file and code file that has a symbol file."""
    rows = SymbolFile.objects.filter(key__endswith=FileType.SYMBOL_FILE.suffix, completed_at__isnull=False)
    if not upload.try_symbols:
        rows = rows.filter(try_symbols=False)
    debug = rows.filter(debug_id__in=ids).values_list("debug_file", "debug_id")
    code = rows.filter(code_id__in=ids).values_list("code_file", "code_id")
    return {(name.lower(), some_id) for name, some_id in (*debug, *code)}


def _write_row(upload: Upload, file: StoredFile) -> None:
    if file.outcome == "skipped":
        upload.skipped_keys = [*upload.skipped_keys, storage_path(file.key)]
        if file.is_adopted:
            SymbolFile.objects.create(key=storage_path(file.key), **_columns(upload, file))
        return
    if file.update:
        _mark_replaced(upload, file)
    SymbolFile.objects.update_or_create(
        upload=upload, key=storage_path(file.key), defaults=_columns(upload, file)
    )


def _mark_replaced(upload: Upload, file: StoredFile) -> None:
    """Set `replaced_by` in the rows of the former file, and log both users."""
    former = SymbolFile.objects.filter(
        key=storage_path(file.key),
        bucket_name=upload.bucket_name,
        completed_at__isnull=False,
        replaced_by=None,
    ).exclude(upload=upload)
    newest = former.select_related("upload__user").order_by("-pk").first()
    former.update(replaced_by=upload)
    owner = newest.upload if newest else None
    logger.log(
        logging.INFO if owner and owner.user_id == upload.user_id else logging.WARNING,
        "%s: replaced by upload %s of %s; it was stored by %s",
        storage_path(file.key),
        upload.pk,
        upload.user.email or upload.user,
        f"upload {owner.pk} of {owner.user.email or owner.user}" if owner else "no upload",
    )


def _columns(upload: Upload, file: StoredFile) -> dict[str, object]:
    info = file.text.info()
    code_file, code = _code(file.key, info)
    files = storage_services.select_files(upload.try_symbols)
    blob = blob_rows.refer(files, file.stored) if file.stored.blob else None
    if blob and file.text.source_entries:
        source_code.add_rows(blob, file.text.source_entries)
    return {
        "blob": blob,
        "bucket_name": upload.bucket_name,
        "debug_file": file.key.debug_file,
        "debug_id": file.key.debug_id,
        "code_file": code_file,
        "code_id": code,
        **_object_columns(file.key, info, code),
        **_native_columns(file.key, info),
        "generator": _column(info.generator[:NAME_CHARACTERS]) if info else "",
        "size": blob.stored_size if blob else file.stored.size,
        "original_size": file.content.size,
        "content_hash": file.content.digest,
        "etag": file.stored.etag,
        "compressed": file.key.file_type.is_compressed,
        "update": file.update,
        "try_symbols": upload.try_symbols,
        "completed_at": timezone.now(),
    }


def _object_columns(key: FileKey, info: ObjectInfo | None, code: str) -> dict[str, object]:
    """Return the columns that describe the object, as far as the file's head shows it."""
    if info is None:
        # A symbol file whose head does not identify it still has the format that its name shows.
        form = format_of(key.file_type) if key.file_type.is_compressed else None
        kind, name = (Kind.DEBUG, form.name) if form else (Kind.UNKNOWN, UNKNOWN_FORMAT)
        return {"kind": kind, "format": name, "build_id": build_id_of(code, key.debug_id), "arch": ""}
    return {
        "kind": info.kind.value,
        "format": info.format,
        "build_id": _build_id(info) or build_id_of(code, key.debug_id),
        "arch": _column(info.arch[:NAME_CHARACTERS]),
    }


def _native_columns(key: FileKey, info: ObjectInfo | None) -> dict[str, object]:
    """Return the columns by which a native file belongs to modules."""
    if info is None or info.format not in CONVERTIBLE_FORMATS:
        return {}
    return {
        "native_id": _native_id(key, info),
        "common_id": info.common_id,
        "has_code": info.has_code,
        "has_unwinding": info.has_unwinding,
    }


def _native_id(key: FileKey, info: ObjectInfo) -> str:
    """Return the debug id in a native file, else that of its path; "" for one that names no module."""
    by_path = debug_ids_of_code_id(key.debug_id)[:1] if info.format == "elf" else ()
    debug_id = next(filter(None, (info.debug_id, *by_path, key.debug_id)))
    with suppress(BadModule):
        if not is_zero_debug_id(debug_id):
            return ObjectId.parse(key.debug_file, debug_id).debug_id
    return ""


def _build_id(info: ObjectInfo) -> str:
    """Return the build id in lower case; empty when the file has none, or one that is not hex."""
    with suppress(BadModule):
        return code_id(info.build_id).lower()
    return ""


def _code(key: FileKey, info: ObjectInfo | None) -> tuple[str, str]:
    """Return code file and code id, each empty when the file does not have it."""
    if info is None:
        return "", ""
    # PE files do not have their own name, and are requested by it and their code id.
    name = key.file_name if info.format == "pe" else info.code_file
    file = _column(name) if len(name) <= NAME_CHARACTERS else ""
    with suppress(BadModule):
        return file, code_id(info.code_id)
    return file, ""


def _column(text: str) -> str:
    """Remove NUL, which PostgreSQL cannot store."""
    return text.replace("\0", "")


# Reasons for warnings

# The longest name from a file's own records in a warning.
SHOWN_NAME_CHARACTERS: Final = 255
NATIVE: Final = f"stored, but it will not symbolicate: upload its {FileType.SYMBOL_FILE.suffix} file too"
ZERO_ID: Final = "its debug id is all zeros, which names no build: it is never looked up"


class SymbolText:
    """Head of a file that is being stored under `key`, and whether the file has a usable record.

    A native file is identified by its tables, which may lie anywhere in it, so `identify` follows when it is
    stored.
    """

    def __init__(self, key: FileKey) -> None:
        self._key = key
        self._head = b""
        self._format = format_of(key.file_type)
        self._check = self._format.usability_check() if self._format else None
        self._native: tuple[Format, tuple[ObjectInfo, ...]] | None = None
        self._faults: list[str] = []
        self.cabinet: Cabinet | None = None
        """Headers of a CAB file."""
        self.source_entries: list[SourceEntry] = []
        """Source files of a source bundle."""

    def feed(self, chunk: bytes) -> None:
        """Inspect the next bytes of the file."""
        if self._check:
            if len(self._head) < HEAD_BYTES:
                self._head += chunk[: HEAD_BYTES - len(self._head)]
            self._check.feed(chunk)

    def identify(self, file: BinaryIO, size: int) -> None:
        """Find the objects of a native file of `size` bytes, or the headers of a CAB file."""
        reader = FileReader(file, size)
        try:
            self.cabinet = read_cabinet(reader)
            self._native = recognise(reader, self._key.file_type)
            if self._key.file_type is FileType.SOURCES and self._native:
                self.source_entries = read_entries(reader)
        except Malformed as error:
            self.add_fault(f"it cannot be identified: {error}")

    def add_fault(self, fault: str) -> None:
        """Add a reason why the file is of less use than others."""
        self._faults.append(fault)

    def info(self) -> ObjectInfo | None:
        """Return the identification in the file; None if its format is unknown."""
        found = self._recognise()
        return found[1] if found else None

    def _recognise(self) -> tuple[Format, ObjectInfo] | None:
        found = self._native
        if self._check:
            found = recognise(FileReader(BytesIO(self._head), len(self._head)), self._key.file_type)
        return (found[0], self._own_object(found[1])) if found else None

    def other_keys(self) -> list[FileKey]:
        """Return the keys of the file's other objects, if one of its objects is that of its key."""
        objects = self._native[1] if self._native else ()
        ids = dict.fromkeys(normal_debug_id(info.debug_id) for info in objects if info.debug_id)
        if self._key.debug_id not in ids:
            return []
        others = [some_id for some_id in ids if some_id != self._key.debug_id]
        return [self._key._replace(debug_id=some_id) for some_id in others]

    def unpacked_key(self) -> FileKey | None:
        """Return the key of the file in a CAB file; None for any other file."""
        if self.cabinet is None:
            return None
        return self._key._replace(file_name=unpacked_name(self._key.file_name, self.cabinet))

    def _own_object(self, objects: tuple[ObjectInfo, ...]) -> ObjectInfo:
        """Return the object of this key; a file with programs for several processors has one for each."""
        debug_id = self._key.debug_id
        own = (info for info in objects if debug_id in map(normal_debug_id, (info.debug_id, info.code_id)))
        return next(own, objects[0])

    def warnings(self) -> Iterator[str]:
        """Yield each reason why the file will not symbolicate, or only in part."""
        if is_zero_debug_id(self._key.debug_id):
            yield ZERO_ID
        yield from self._faults
        if self._format is None:
            return
        # Several formats may share a type of file, so the first one of the type need not be the file's own.
        known, info = self._recognise() or (self._format, None)
        if info:
            yield from self._differences(info, known.identity)
        if self._check:
            yield from self._obstacles(self._check, known.identity, info)

    def _obstacles(self, check: UsabilityCheck, identity: str, info: ObjectInfo | None) -> Iterator[str]:
        """Yield each reason why the file cannot be converted."""
        key = self._key
        if info is None:
            yield f"no {identity}: it will not symbolicate"
            return
        if not self._has_expected_name():
            expected = key.file_type.file_name(key.debug_file)
            yield f"its name is not {expected}, where symbols are looked for: it will not symbolicate"
        if problem := check.problem():
            yield f"{problem}: it will not symbolicate"

    def _differences(self, info: ObjectInfo, identity: str) -> Iterator[str]:
        """Yield each difference between the file's own names and its key.

        Many native files have no debug file or debug id in them, and symbol stores have executables below
        their code file and code id.
        """
        key = self._key
        is_below_code_id = self._check is None and normal_debug_id(info.code_id) == key.debug_id
        name, some_id = (
            (info.code_file, info.code_id) if is_below_code_id else (info.debug_file, info.debug_id)
        )
        is_found_by_id = info.format in CONVERTIBLE_FORMATS
        if some_id and key.debug_id not in (normal_debug_id(some_id), debugger_id(info)):
            other = some_id[:SHOWN_NAME_CHARACTERS]
            effect = "only requests for that id find it" if is_found_by_id else "it will not symbolicate"
            yield f"its {identity} is of another build, {other}: {effect}"
        if name and _differ(name, key.debug_file) and not is_found_by_id:
            other = repr(name[:SHOWN_NAME_CHARACTERS])
            yield f"its {identity} names {other}: only requests for {key.debug_file} find it"

    def _has_expected_name(self) -> bool:
        key = self._key
        expected = key.file_type.file_name(key.debug_file)
        if is_windows_name(key.debug_file):
            return key.file_name.lower() == expected.lower()
        return key.file_name == expected


def _differ(name: str, other: str) -> bool:
    if is_windows_name(name) and is_windows_name(other):
        return name.lower() != other.lower()
    return name != other

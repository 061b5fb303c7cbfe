"""Rows of the files that our storage has, and of content that several of them share."""

from __future__ import annotations

from typing import Final, Self

from django.db import DatabaseError, models
from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Lower
from django.utils import timezone

from tecken.errors import BadModule, NotFound, Unavailable
from tecken.symbols.ids import GUID_DIGITS, ObjectId, is_windows_name

# S3, GCS and Azure allow as many bytes.
KEY_CHARACTERS = 1024
NAME_CHARACTERS = 255
# Without this class, PostgreSQL uses an index for `=` only, not for the beginning of a text.
BEGINNING = ["varchar_pattern_ops"]
UNFINISHED = models.Q(completed_at=None)
UNKNOWN_FORMAT = "unknown"

# `code_file__lower=...` finds files of Windows, whose names compare without case.
models.CharField.register_lookup(Lower)


class Kind(models.TextChoices):
    """Part of a module's information that a file has."""

    DEBUG = "debug"
    EXECUTABLE = "executable"
    SYMBOL_TABLE = "symbol table"
    COMMON = "common"
    SOURCES = "sources"
    UNKNOWN = "unknown"


# The best kind first. A common file has no functions of its own.
CONVERTIBLE_KINDS: Final = (Kind.DEBUG, Kind.SYMBOL_TABLE, Kind.EXECUTABLE)
CONVERTIBLE_FORMATS: Final = ("elf", "macho", "pdb", "pe", "wasm")


class SymbolFileQuerySet(models.QuerySet["SymbolFile"]):
    """Queries that several packages make."""

    def identifying(self) -> Self:
        """Keep stored files whose debug id names a build: ids of zeros are shared by many."""
        return self.filter(completed_at__isnull=False).exclude(debug_id__startswith="0" * GUID_DIGITS)

    def native(self, *, try_symbols: bool) -> Self:
        """Keep stored native files, regular or of try builds, that are found by the id of their module."""
        stored = self.filter(completed_at__isnull=False, try_symbols=try_symbols, replaced_by=None)
        return stored.filter(format__in=CONVERTIBLE_FORMATS).exclude(native_id="")

    def convertible(self) -> Self:
        """Keep native files that have functions, and whose format `tecken-dump` reads."""
        return self.filter(kind__in=CONVERTIBLE_KINDS, format__in=CONVERTIBLE_FORMATS)


def match_name(field: str, name: str) -> Q:
    """Return a condition for a debug file or code file, without case where Windows compares it so."""
    if is_windows_name(name):
        return Q(**{f"{field}__lower": Lower(Value(name))})
    return Q(**{field: name})


class SymbolFile(models.Model):
    """A file in our storage; the newest row of a key describes the stored one.

    Without `completed_at` it was announced (v2) and is not stored yet. `kind`, `format`, `build_id` and
    `arch` are unknown or empty for files whose format no module of `tecken.symbols.formats` reads.
    """

    upload = models.ForeignKey("upload.Upload", models.SET_NULL, null=True, blank=True, related_name="files")
    bucket_name = models.CharField(max_length=255)
    key = models.CharField(max_length=KEY_CHARACTERS, help_text="v1/<debug file>/<DEBUG ID>/<file name>")
    debug_file = models.CharField(max_length=KEY_CHARACTERS, blank=True)
    debug_id = models.CharField(max_length=128, blank=True)
    code_file = models.CharField(max_length=NAME_CHARACTERS, blank=True)
    code_id = models.CharField(max_length=128, blank=True)
    kind = models.CharField(
        max_length=16, choices=Kind.choices, default=Kind.UNKNOWN, db_default=Kind.UNKNOWN
    )
    format = models.CharField(
        max_length=32,
        default=UNKNOWN_FORMAT,
        db_default=UNKNOWN_FORMAT,
        help_text="a format of tecken.symbols.formats",
    )
    build_id = models.CharField(
        max_length=128, blank=True, default="", db_default="", help_text="of an ELF file, in lower case"
    )
    arch = models.CharField(
        max_length=NAME_CHARACTERS, blank=True, default="", db_default="", help_text="as the file spells it"
    )
    native_id = models.CharField(
        max_length=128,
        blank=True,
        default="",
        db_default="",
        help_text="debug id of a native file's module: the file's own, else that of its path",
    )
    common_id = models.CharField(
        max_length=128, blank=True, default="", db_default="", help_text="build id of its common file (dwz)"
    )
    has_code = models.BooleanField(default=False, db_default=False, help_text="of a native file")
    has_unwinding = models.BooleanField(default=False, db_default=False, help_text="of a native file")
    generator = models.CharField(max_length=NAME_CHARACTERS, blank=True)
    blob = models.ForeignKey(
        "Blob",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="files",
        help_text="content that equal files share",
    )
    size = models.BigIntegerField(default=0, help_text="bytes, as stored")
    original_size = models.BigIntegerField(default=0, help_text="bytes, as uploaded and unpacked")
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the unpacked bytes")
    etag = models.CharField(max_length=255, blank=True, help_text="the stored object's")
    compressed = models.BooleanField(default=False)
    update = models.BooleanField(default=False, help_text="it replaced other content")
    replaced_by = models.ForeignKey(
        "upload.Upload",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="replaced",
        help_text="with other content",
    )
    try_symbols = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = SymbolFileQuerySet.as_manager()

    class Meta:
        # The table's name from before the model moved here.
        db_table = "upload_fileupload"
        constraints = (models.UniqueConstraint(fields=["upload", "key"], name="file_once_per_upload"),)
        indexes = (
            models.Index(fields=["key"], opclasses=BEGINNING, name="file_by_key"),
            models.Index(fields=["debug_file", "debug_id"], name="file_by_debug_id"),
            # Native files are found by their ids alone.
            models.Index(fields=["debug_id"], name="file_by_debug_id_alone"),
            models.Index(fields=["native_id"], name="file_by_native_id"),
            models.Index(fields=["common_id"], name="file_by_common_id"),
            models.Index(fields=["build_id"], opclasses=BEGINNING, name="file_by_build_id"),
            models.Index(fields=["code_file", "code_id"], name="file_by_code_id"),
            models.Index(fields=["code_id"], name="file_by_code_id_alone"),
            models.Index(Lower("code_file"), "code_id", name="file_by_code_id_in_any_case"),
            models.Index(fields=["try_symbols", "created_at"], name="file_by_age"),
            models.Index(fields=["size"], name="file_by_size"),
            models.Index(fields=["created_at"], condition=UNFINISHED, name="file_unfinished"),
        )

    def __str__(self) -> str:
        return self.key


class Blob(models.Model):
    """Content that is stored once for all files with the same bytes; the row of each file refers to it.

    `tecken.storage.blob_rows` has the only functions that create, lock and delete these rows.
    """

    bucket_name = models.CharField(max_length=NAME_CHARACTERS)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(help_text="bytes, unpacked")
    stored_size = models.BigIntegerField(default=0, help_text="bytes, as stored: compressed if they differ")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["bucket_name", "sha256"], name="blob_once_per_bucket"),
        )

    def __str__(self) -> str:
        return self.sha256


class SourceFile(models.Model):
    """Source file in a source bundle: where its member lies in the bundle's content.

    The rows belong to the content, so that equal bundles have them once, and they are deleted with it.
    """

    blob = models.ForeignKey(Blob, models.CASCADE, related_name="sources")
    path = models.CharField(
        max_length=KEY_CHARACTERS, help_text="as tecken.symbols.source_paths.lookup_form has it"
    )
    start = models.BigIntegerField(help_text="offset of the member's own header, in bytes")
    end = models.BigIntegerField(help_text="offset after the member, in bytes")
    size = models.BigIntegerField(help_text="bytes, unpacked")

    class Meta:
        permissions = (("view_sources", "View Source Code"),)
        constraints = (models.UniqueConstraint(fields=["blob", "path"], name="source_once_per_blob"),)

    def __str__(self) -> str:
        return self.path


def takes_space() -> Q:
    """Return a condition for rows: of files that share content, only the first one takes space."""
    earlier = SymbolFile.objects.filter(blob=OuterRef("blob"), pk__lt=OuterRef("pk"))
    return ~Q(Exists(earlier))


class NativeName(models.Model):
    """Name under which symbols of native files were requested, and so have a page file.

    `native_id` is that of the files. `debug_id` is the requested id, maybe a build id or a code id.
    """

    native_id = models.CharField(max_length=128)
    debug_file = models.CharField(max_length=NAME_CHARACTERS)
    debug_id = models.CharField(max_length=128)
    try_symbols = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["native_id", "debug_file", "debug_id", "try_symbols"],
                name="native_name_of_scope",
            ),
        )

    def __str__(self) -> str:
        return f"{self.debug_file}/{self.debug_id}"


class FetchedModule(models.Model):
    """Module whose symbols came from an upstream: its page file is all that is stored of it.

    `debug_file` and `debug_id` are those of `ObjectId.name` and of the request, and so of the page file. The
    id may be a build id or a code id. `tecken.symbolication.fetched` has the only functions that write rows.
    """

    debug_file = models.CharField(max_length=KEY_CHARACTERS)
    debug_id = models.CharField(max_length=128)
    code_file = models.CharField(max_length=NAME_CHARACTERS, blank=True)
    code_id = models.CharField(max_length=128, blank=True, help_text="of an ELF file its build id")
    upstream = models.CharField(max_length=KEY_CHARACTERS, help_text="its name, without an account")
    format = models.CharField(max_length=32, help_text="a format of tecken.symbols.formats")
    received_size = models.BigIntegerField(
        help_text="bytes of the symbol file, as received; of native files, unpacked"
    )
    stored_size = models.BigIntegerField(help_text="bytes of the page file")
    fetched_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["debug_id", "debug_file"], name="fetched_module_once"),
        )
        indexes = (
            models.Index(fields=["debug_file"], name="fetched_by_debug_file"),
            models.Index(fields=["code_id"], name="fetched_by_code_id"),
            models.Index(fields=["fetched_at"], name="fetched_by_age"),
            models.Index(fields=["stored_size"], name="fetched_by_size"),
        )

    def __str__(self) -> str:
        return f"{self.debug_file}/{self.debug_id}"


def module_of(code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
    """Return the newest module of a binary, a regular one before one of a try build.

    The id is in upper case. Raises NotFound, or Unavailable when the database does not respond.
    """
    rows = SymbolFile.objects.identifying().filter(match_name("code_file", code_file), code_id=code_id)
    # Native files have a place of their own in a search, and their paths may have other ids.
    rows = rows.filter(native_id="")
    if not with_try:
        rows = rows.filter(try_symbols=False)
    try:
        found = rows.order_by("try_symbols", "-id").values_list("debug_file", "debug_id").first()
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    if found is None:
        raise NotFound(f"no upload has code file {code_file} with code id {code_id}")
    try:
        return ObjectId.parse(*found)
    except BadModule as error:
        raise NotFound(str(error)) from error

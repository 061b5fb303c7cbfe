"""Tables of uploads and of the files that they stored."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

# S3 and GCS allow keys of as many bytes.
KEY_CHARACTERS = 1024
NAME_CHARACTERS = 255
# Without this operator class, PostgreSQL uses an index for `=` only and not for the beginning of a text.
BEGINNING = ["varchar_pattern_ops"]
UNFINISHED = models.Q(completed_at=None)

# For `code_file__lower=...`: names of Windows files compare without case.
models.CharField.register_lookup(Lower)


class Protocol(models.TextChoices):
    """Protocol by which an upload came."""

    V1 = "v1"
    V2 = "v2"
    SYM_UPLOAD = "sym_upload"


class Upload(models.Model):
    """Archive, group of announced files, or single file that a user sent in one upload."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="uploads")
    filename = models.CharField(max_length=255, blank=True)
    bucket_name = models.CharField(max_length=255)
    try_symbols = models.BooleanField(default=False)
    protocol = models.CharField(max_length=16, choices=Protocol.choices, default=Protocol.V1)
    size = models.BigIntegerField(default=0, help_text="bytes, as sent")
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what was sent")
    download_url = models.URLField(max_length=2048, blank=True)
    redirect_urls = models.JSONField(default=list, blank=True)
    skipped_keys = models.JSONField(default=list, blank=True)
    ignored_keys = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True, help_text="what is stored and of little use")
    members_total = models.PositiveIntegerField(default=0)
    members_done = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="why it will never be complete")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = (
            ("upload_symbols", "Upload Symbols Files"),
            ("upload_try_symbols", "Upload Try Symbols Files"),
            ("view_all_uploads", "View All Symbols Uploads"),
        )
        indexes = (
            models.Index(fields=["user", "created_at"], name="upload_of_user"),
            models.Index(fields=["user", "size"], name="upload_of_user_by_size"),
            models.Index(fields=["try_symbols", "created_at"], name="upload_by_age"),
            models.Index(fields=["size"], name="upload_by_size"),
            models.Index(fields=["filename"], opclasses=BEGINNING, name="upload_by_name"),
            models.Index(fields=["created_at"], condition=UNFINISHED, name="upload_unfinished"),
        )

    def __str__(self) -> str:
        return f"{self.pk} {self.filename}"


class FileUpload(models.Model):
    """File that an upload stored. The newest row of a key describes the object that is stored now.

    A row without `completed_at` is being removed: its object may no longer exist.
    """

    upload = models.ForeignKey(Upload, models.SET_NULL, null=True, blank=True, related_name="files")
    bucket_name = models.CharField(max_length=255)
    key = models.CharField(max_length=KEY_CHARACTERS, help_text="v1/<debug file>/<DEBUG ID>/<file name>")
    debug_file = models.CharField(max_length=KEY_CHARACTERS, blank=True)
    debug_id = models.CharField(max_length=128, blank=True)
    code_file = models.CharField(max_length=NAME_CHARACTERS, blank=True)
    code_id = models.CharField(max_length=128, blank=True)
    generator = models.CharField(max_length=NAME_CHARACTERS, blank=True)
    size = models.BigIntegerField(default=0, help_text="bytes, as stored")
    original_size = models.BigIntegerField(default=0, help_text="bytes, as uploaded and unpacked")
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the unpacked bytes")
    etag = models.CharField(max_length=255, blank=True, help_text="the stored object's")
    compressed = models.BooleanField(default=False)
    update = models.BooleanField(default=False, help_text="it replaced other content")
    replaced_by = models.ForeignKey(
        Upload,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="replaced",
        help_text="with other content",
    )
    try_symbols = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["upload", "key"], name="file_once_per_upload"),)
        indexes = (
            models.Index(fields=["key"], opclasses=BEGINNING, name="file_by_key"),
            models.Index(fields=["debug_file", "debug_id"], name="file_by_debug_id"),
            models.Index(fields=["code_file", "code_id"], name="file_by_code_id"),
            models.Index(Lower("code_file"), "code_id", name="file_by_code_id_in_any_case"),
            models.Index(fields=["try_symbols", "created_at"], name="file_by_age"),
            models.Index(fields=["size"], name="file_by_size"),
            models.Index(fields=["created_at"], condition=UNFINISHED, name="file_unfinished"),
        )

    def __str__(self) -> str:
        return self.key


class Announcement(models.Model):
    """List of files that the client of a direct upload has announced. It is deleted when all are stored."""

    upload = models.OneToOneField(Upload, models.CASCADE, primary_key=True, related_name="announcement")
    files = models.JSONField(default=list, help_text="[[debug file, DEBUG ID, file name], size, md5] by slot")

    def __str__(self) -> str:
        return f"files of {self.upload_id}"

"""Tables of uploads and of the files that they stored."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from tecken.accounts.models import Token
from tecken.storage.models import BEGINNING, NAME_CHARACTERS, UNFINISHED


class Protocol(models.TextChoices):
    """Protocol by which an upload came."""

    V1 = "v1"
    V2 = "v2"
    SYM_UPLOAD = "sym_upload"
    IMPORT = "import"


def _text_of_origin() -> models.CharField[str, str]:
    # With a default of the database, processes of the former release can still write rows.
    return models.CharField(max_length=NAME_CHARACTERS, blank=True, default="", db_default="")


class Upload(models.Model):
    """One request, or one direct upload, with which a client sent files."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="uploads")
    filename = models.CharField(max_length=255, blank=True)
    bucket_name = models.CharField(max_length=255)
    try_symbols = models.BooleanField(default=False)
    token = models.ForeignKey(
        Token, models.SET_NULL, null=True, blank=True, related_name="uploads", help_text="that sent it"
    )
    build = _text_of_origin()
    branch = _text_of_origin()
    commit = _text_of_origin()
    note = _text_of_origin()
    protocol = models.CharField(max_length=16, choices=Protocol.choices, default=Protocol.V1)
    size = models.BigIntegerField(default=0, help_text="bytes, as sent")
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what was sent")
    download_url = models.URLField(max_length=2048, blank=True)
    redirect_urls = models.JSONField(default=list, blank=True)
    skipped_keys = models.JSONField(default=list, blank=True)
    ignored_keys = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True, help_text="what is stored and of little use")
    resolved = models.JSONField(
        default=list, db_default=[], blank=True, help_text="modules that were missing before"
    )
    resolved_modules = models.PositiveIntegerField(default=0, db_default=0)
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
            models.Index(fields=["build"], opclasses=BEGINNING, name="upload_by_build"),
            models.Index(fields=["branch"], opclasses=BEGINNING, name="upload_by_branch"),
            models.Index(fields=["commit"], opclasses=BEGINNING, name="upload_by_commit"),
            models.Index(fields=["note"], opclasses=BEGINNING, name="upload_by_note"),
        )

    def __str__(self) -> str:
        return f"{self.pk} {self.filename}"

    @property
    def converts_ahead(self) -> bool:
        """Return whether its modules may be converted ahead of demand.

        Those of an import are not: it may have a million, which nothing has requested.
        """
        return self.protocol != Protocol.IMPORT


class Announcement(models.Model):
    """List of files that the client of a direct upload has announced. It is deleted when all are stored."""

    upload = models.OneToOneField(Upload, models.CASCADE, primary_key=True, related_name="announcement")
    files = models.JSONField(default=list, help_text="[[debug file, DEBUG ID, file name], size, md5] by slot")

    def __str__(self) -> str:
        return f"files of {self.upload_id}"

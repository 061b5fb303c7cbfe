"""Admin pages of uploads and stored files."""

from __future__ import annotations

from django.contrib import admin

from tecken.upload.models import FileUpload, Upload


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of uploads."""

    list_display = ("id", "filename", "user", "size", "try_symbols", "created_at", "completed_at")
    list_filter = ("try_symbols", "protocol")
    search_fields = ("filename__startswith",)
    raw_id_fields = ("user",)
    # Counting all rows takes seconds on a large table.
    show_full_result_count = False


@admin.register(FileUpload)
class FileUploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Admin page of stored files."""

    list_display = ("key", "size", "try_symbols", "created_at", "completed_at")
    search_fields = ("key__startswith",)
    raw_id_fields = ("upload", "replaced_by")
    show_full_result_count = False

"""Uploads as their clients see them."""

from __future__ import annotations

from typing import Any

from tecken.upload.models import Upload


def upload_fields(upload: Upload) -> dict[str, Any]:
    """Return the fields of an upload that its client sees, as JSON types and datetimes."""
    return {
        "id": upload.pk,
        "size": upload.size,
        "filename": upload.filename,
        "bucket": upload.bucket_name,
        "region": None,
        "download_url": upload.download_url or None,
        "try_symbols": upload.try_symbols,
        "redirect_urls": upload.redirect_urls,
        "completed_at": upload.completed_at,
        "created_at": upload.created_at,
        "user": upload.user.email,
        "skipped_keys": upload.skipped_keys,
        "ignored_keys": upload.ignored_keys,
        "warnings": upload.warnings,
        "members_total": upload.members_total,
        "members_done": upload.members_done,
    }

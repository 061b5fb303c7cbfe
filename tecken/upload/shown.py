"""An upload as its client sees it."""

from __future__ import annotations

from typing import Any

from tecken.upload.models import Upload


def shown(upload: Upload) -> dict[str, Any]:
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

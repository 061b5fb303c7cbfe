"""`POST /upload/`: a zip archive in a form, or the URL of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tecken.http.decorators import Grant, accept_body, post_only, require_permission
from tecken.http.ratelimit import charge, rate_limited, upload_cost
from tecken.http.responses import json_reply, render_errors
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.upload import archive_upload
from tecken.upload.fetch import DownloadRules, fetch_archive
from tecken.upload.form import Archive, max_form_bytes, receive_archive
from tecken.upload.models import Upload
from tecken.upload.protocols.direct import UPLOADERS, upload_fields, writes_try

PROGRESS = "/api/uploads/upload/{}"


@render_errors
@post_only
@require_permission(*UPLOADERS)
@rate_limited("upload", upload_cost)
@accept_body(max_form_bytes)
def upload_archive(request: HttpRequest) -> HttpResponse:
    """Store the members of an archive: 201. With `?async=1` leave them to a worker: 202."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    with _get_archive(request) as archive:
        upload = archive_upload.begin(grant.user, writes_try(grant), archive)
        if request.GET.get("async", "").lower() in ("1", "true", "yes"):
            archive_upload.stage(upload, archive.file)
            return _accept(request, upload)
        archive_upload.ingest_all(upload, archive.file)
    return json_reply(orjson.dumps({"upload": upload_fields(upload)}), HTTPStatus.CREATED)


@contextmanager
def _get_archive(request: HttpRequest) -> Iterator[Archive]:
    # Within the `with` blocks: the unnamed file of the archive exists as long as they do.
    with receive_archive(request) as archive_or_url:
        if isinstance(archive_or_url, Archive):
            yield archive_or_url
            return
        with fetch_archive(archive_or_url, _build_rules()) as archive:
            # The limit counted the request's own body, which was only the URL.
            charge(request, "upload", Cost(0, 0, archive.size))
            yield archive


def _build_rules() -> DownloadRules:
    config = options()
    return DownloadRules(
        [domain.lower() for domain in settings.ALLOW_UPLOAD_BY_DOWNLOAD_DOMAINS],
        config.upload_max_bytes,
        config.source_timeout_seconds,
        config.source_deadline_seconds,
        settings.SPOOL_DIR,
    )


def _accept(request: HttpRequest, upload: Upload) -> HttpResponse:
    url = request.build_absolute_uri(PROGRESS.format(upload.pk))
    reply = json_reply(orjson.dumps({"upload": upload_fields(upload), "url": url}), HTTPStatus.ACCEPTED)
    reply["Location"] = url
    return reply

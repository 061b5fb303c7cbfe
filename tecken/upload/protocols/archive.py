"""`POST /upload/`: an archive in a form, or the URL of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tecken.http.decorators import Grant, permitted, post_only, takes_body
from tecken.http.ratelimit import limited, spend, upload_cost
from tecken.http.responses import answers_errors, json_reply
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.upload import archive_upload
from tecken.upload.fetch import Rules, fetched
from tecken.upload.form import Archive, max_form_bytes, received
from tecken.upload.models import Upload
from tecken.upload.presentation import upload_fields
from tecken.upload.protocols.direct import UPLOADERS, writes_try

PROGRESS = "/api/uploads/upload/{}"


@answers_errors
@post_only
@permitted(*UPLOADERS)
@limited("upload", upload_cost)
@takes_body(max_form_bytes)
def upload_archive(request: HttpRequest) -> HttpResponse:
    """201 when every member is kept; with `?async=1` 202 at once."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    with _archive(request) as archive:
        upload = archive_upload.begin(grant.user, writes_try(grant), archive)
        if request.GET.get("async", "").lower() in ("1", "true", "yes"):
            archive_upload.stage(upload, archive.file)
            return _accepted(request, upload)
        archive_upload.keep_all(upload, archive.file)
    return json_reply(orjson.dumps({"upload": upload_fields(upload)}), HTTPStatus.CREATED)


@contextmanager
def _archive(request: HttpRequest) -> Iterator[Archive]:
    with received(request) as found:
        if isinstance(found, Archive):
            yield found
            return
        with fetched(found, _rules()) as archive:
            spend(request, "upload", Cost(0, 0, archive.size))
            yield archive


def _rules() -> Rules:
    now = options()
    return Rules(
        [domain.lower() for domain in settings.ALLOW_UPLOAD_BY_DOWNLOAD_DOMAINS],
        now.upload_max_bytes,
        now.source_timeout_seconds,
        now.source_deadline_seconds,
        settings.SPOOL_DIR,
    )


def _accepted(request: HttpRequest, upload: Upload) -> HttpResponse:
    url = request.build_absolute_uri(PROGRESS.format(upload.pk))
    reply = json_reply(orjson.dumps({"upload": upload_fields(upload), "url": url}), HTTPStatus.ACCEPTED)
    reply["Location"] = url
    return reply

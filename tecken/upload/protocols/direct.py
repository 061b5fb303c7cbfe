"""Upload protocol v2: announce files, PUT them where the storage has no signed URLs, complete the upload."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tecken.errors import InvalidInput, NotFound
from tecken.http.decorators import (
    Grant,
    accept_body,
    body,
    post_only,
    raise_refusal,
    require_permission,
    stream_body,
)
from tecken.http.ratelimit import charge, check_disk_space, rate_limited
from tecken.http.responses import error_reply, json_reply, render_errors
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.upload import direct_upload
from tecken.upload.direct_upload import AnnouncedFile, UploadAction
from tecken.upload.models import Protocol, Upload
from tecken.upload.origin import ORIGIN_FIELDS, parse_origin
from tecken.upload.resolved import count_requests, modules_of

REGULAR, TRY = UPLOADERS = ("upload.upload_symbols", "upload.upload_try_symbols")
MAX_BODY_BYTES = 4 << 20
# The name of the way to send files, in the response of `POST /upload/v2/`.
PROTOCOL: Final = "http-put"
# Limits that a client should know before it makes an archive or sends a file.
LIMITS: Final = (
    *("upload_max_bytes", "upload_max_unpacked_bytes", "upload_max_members"),
    *("symbol_max_bytes", "upload_direct_max_files"),
)
ANNOUNCED_TYPES: Final = {"key": str, "size": int, "md5_hash": str}


@render_errors
@post_only
@require_permission(*UPLOADERS)
def auth_info(request: HttpRequest) -> HttpResponse:
    """Return user and permission of the token, the upload protocol to use, and the limits of uploads."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    expires = grant.token and int(grant.token.expires_at.timestamp())
    info = {
        "email": grant.user.email,
        "user_id": grant.user.pk,
        "permission": TRY if writes_try(grant) else REGULAR,
        "try_symbols": writes_try(grant),
        "token_expires_at": expires,
        # Only a bucket has signed URLs. Without them, protocol v2 costs more requests and saves nothing.
        "upload_api_version": 1 if storage_services.staging().signed_put(Slot(0, 0), 1) is None else 2,
        "limits": {name: getattr(options(), name) for name in LIMITS},
    }
    return json_reply(orjson.dumps(info))


def writes_try(grant: Grant) -> bool:
    """Return whether the token's uploads are try symbols."""
    return REGULAR not in grant.permissions


@render_errors
@post_only
@require_permission(*UPLOADERS)
@rate_limited("upload", cost=None)
@body(lambda: MAX_BODY_BYTES)
def announce(request: HttpRequest, content: bytes) -> HttpResponse:
    """Create an upload of announced files and return an action for each of them."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    files = parse_announcement(content, options().upload_direct_max_files)
    origin = parse_origin(orjson.loads(content), grant.token)
    # The announced bytes are counted, because clients may send the files to the bucket itself.
    charge(request, "upload", Cost(bytes=sum(max(0, file.size) for file in files)))
    upload, actions = direct_upload.begin(grant.user, writes_try(grant), files, origin)
    response = {
        "id": upload.pk,
        "created_at": int(upload.created_at.timestamp()),
        "user": grant.user.email,
        "try_symbols": upload.try_symbols,
        "upload_protocol": PROTOCOL,
        "files": [
            {"key": file.key, "action": _format_action(request, action)}
            for file, action in zip(files, actions, strict=True)
        ],
    }
    return json_reply(orjson.dumps(response), HTTPStatus.CREATED)


def parse_announcement(body: bytes, limit: int) -> list[AnnouncedFile]:
    """Return at most `limit` announced files. Raise InvalidInput for more files or another JSON structure."""
    try:
        entries = orjson.loads(body)["files"]
        files = [_parse_file(entry) for entry in entries]
    except (ValueError, KeyError, TypeError):
        raise InvalidInput("malformed JSON request body") from None
    if not isinstance(entries, list):
        raise InvalidInput("malformed JSON request body")
    if len(files) > limit:
        raise InvalidInput("too many files")
    return files


def _parse_file(entry: dict[str, Any]) -> AnnouncedFile:
    for name, kind in ANNOUNCED_TYPES.items():
        # Not isinstance(), which takes True for an int.
        if type(entry[name]) is not kind:
            raise TypeError(name)
    return AnnouncedFile(*(entry[name] for name in ANNOUNCED_TYPES))


def _format_action(request: HttpRequest, action: UploadAction) -> dict[str, str | None]:
    if action.error:
        return {"type": "error", "msg": action.error}
    if action.slot is None or action.file is None:
        return {"type": "skip"}
    url = storage_services.staging().signed_put(action.slot, options().upload_direct_seconds)
    return {
        "type": "upload",
        "url": url or build_own_url(request, action.slot, direct_upload.max_body_bytes(action.file)),
        "content_encoding": "gzip" if action.file.key.file_type.is_compressed else None,
    }


def build_own_url(request: HttpRequest, slot: Slot, limit: int) -> str:
    """Return a signed URL of this site, to which a client may send `limit` bytes for a slot."""
    return request.build_absolute_uri(reverse(receive, args=[direct_upload.sign_slot(slot, limit)]))


def max_sent_bytes() -> int:
    """Return the limit of one PUT."""
    return options().symbol_max_bytes + direct_upload.GZIP_OVERHEAD


@render_errors
@accept_body(max_sent_bytes)
def receive(request: HttpRequest, signed: str) -> HttpResponse:
    """Write the body of a PUT to the slot of its signed URL."""
    if request.method != "PUT":
        reply = error_reply(HTTPStatus.METHOD_NOT_ALLOWED, "Must use HTTP PUT")
        reply["Allow"] = "PUT"
        return reply
    raise_refusal(request)

    def read(limit: int) -> Iterator[bytes]:
        check_disk_space(request)
        return stream_body(request, limit)

    direct_upload.receive(signed, read)
    return json_reply(b"{}")


def admit_sender(_request: HttpRequest, signed: str) -> None:
    """Check the signed URL before the body is read."""
    direct_upload.open_slot(signed)


receive.admit = admit_sender  # type: ignore[attr-defined]


@render_errors
@post_only
@require_permission(*UPLOADERS)
def complete(request: HttpRequest, number: int) -> HttpResponse:
    """Store the files that were sent, and return the upload or the files that are missing."""
    upload = find_upload(request, number, Protocol.V2)
    if problems := direct_upload.complete(upload):
        return error_reply(
            HTTPStatus.BAD_REQUEST,
            f"{len(problems)} files are missing or not what was announced; send them again",
            files=[{"key": key, "error": error} for key, error in problems.items()],
        )
    return json_reply(orjson.dumps({"upload": upload_fields(upload)}))


def find_upload(request: HttpRequest, number: int, protocol: Protocol) -> Upload:
    """Return an upload that the token may continue. Raise NotFound."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    uploads = Upload.objects.select_related("user").filter(
        pk=number, user=grant.user, try_symbols=writes_try(grant), protocol=protocol, cancelled_at=None
    )
    if upload := uploads.first():
        return upload
    raise NotFound("You have no such upload")


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
        **{name: getattr(upload, name) for name in ORIGIN_FIELDS},
        "resolved": count_requests(modules_of(upload)),
    }

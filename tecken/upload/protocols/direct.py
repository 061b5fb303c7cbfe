"""What upload protocol v2 calls: announce, PUT where the storage has no URLs, complete; and who am I."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tecken.errors import Absent
from tecken.http.decorators import Grant, body, permitted, post_only, raise_refusal, streamed, takes_body
from tecken.http.ratelimit import check_disk_space, limited, spend
from tecken.http.responses import answers_errors, error_reply, json_reply
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.staging import Slot
from tecken.upload import direct_upload
from tecken.upload.announcement import PROTOCOL, announced
from tecken.upload.models import Protocol, Upload
from tecken.upload.presentation import upload_fields

REGULAR, TRY = UPLOADERS = ("upload.upload_symbols", "upload.upload_try_symbols")
MAX_BODY_BYTES = 4 << 20


@answers_errors
@post_only
@permitted(*UPLOADERS)
def auth_info(request: HttpRequest) -> HttpResponse:
    """The version is 2 where files go to storage without passing through us."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    expires = grant.token and int(grant.token.expires_at.timestamp())
    info = {
        "email": grant.user.email,
        "user_id": grant.user.pk,
        "permission": TRY if writes_try(grant) else REGULAR,
        "try_symbols": writes_try(grant),
        "token_expires_at": expires,
        "upload_api_version": 1 if storage_services.staging().signed_put(Slot(0, 0), 1) is None else 2,
    }
    return json_reply(orjson.dumps(info))


def writes_try(grant: Grant) -> bool:
    return REGULAR not in grant.permissions


@answers_errors
@post_only
@permitted(*UPLOADERS)
@limited("upload", cost=None)
@body(lambda: MAX_BODY_BYTES)
def announce(request: HttpRequest, content: bytes) -> HttpResponse:
    """What is announced is counted, since it may go to storage past us."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    files = announced(content, options().upload_direct_max_files)
    spend(request, "upload", Cost(bytes=sum(max(0, file.size) for file in files)))
    upload, verdicts = direct_upload.begin(grant.user, writes_try(grant), files)
    actions = [_action(request, verdict) for verdict in verdicts]
    answer = {
        "id": upload.pk,
        "created_at": int(upload.created_at.timestamp()),
        "user": grant.user.email,
        "try_symbols": upload.try_symbols,
        "upload_protocol": PROTOCOL,
        "files": [{"key": file.key, "action": action} for file, action in zip(files, actions, strict=True)],
    }
    return json_reply(orjson.dumps(answer), HTTPStatus.CREATED)


def _action(request: HttpRequest, verdict: direct_upload.Verdict) -> dict[str, str | None]:
    if verdict.error:
        return {"type": "error", "msg": verdict.error}
    if verdict.slot is None or verdict.wanted is None:
        return {"type": "skip"}
    url = storage_services.staging().signed_put(verdict.slot, options().upload_direct_seconds)
    return {
        "type": "upload",
        "url": url or own_address(request, verdict.slot, direct_upload.most_bytes(verdict.wanted)),
        "content_encoding": "gzip" if verdict.wanted.key.file_type.is_compressed else None,
    }


def own_address(request: HttpRequest, slot: Slot, limit: int) -> str:
    return request.build_absolute_uri(reverse(receive, args=[direct_upload.address(slot, limit)]))


def max_sent_bytes() -> int:
    return options().symbol_max_bytes + direct_upload.GZIP_OVERHEAD


@answers_errors
@takes_body(max_sent_bytes)
def receive(request: HttpRequest, signed: str) -> HttpResponse:
    if request.method != "PUT":
        reply = error_reply(HTTPStatus.METHOD_NOT_ALLOWED, "Must use HTTP PUT")
        reply["Allow"] = "PUT"
        return reply
    raise_refusal(request)

    def read(limit: int) -> Iterator[bytes]:
        check_disk_space(request)
        return streamed(request, limit)

    direct_upload.receive(signed, read)
    return json_reply(b"{}")


def admit_sender(_request: HttpRequest, signed: str) -> None:
    direct_upload.opened(signed)


receive.admit = admit_sender  # type: ignore[attr-defined]


@answers_errors
@post_only
@permitted(*UPLOADERS)
def complete(request: HttpRequest, number: int) -> HttpResponse:
    upload = mine(request, number, Protocol.V2)
    if problems := direct_upload.complete(upload):
        return error_reply(
            HTTPStatus.BAD_REQUEST,
            f"{len(problems)} files are missing or not what was announced; send them again",
            files=[{"key": key, "error": error} for key, error in problems.items()],
        )
    return json_reply(orjson.dumps({"upload": upload_fields(upload)}))


def mine(request: HttpRequest, number: int, protocol: Protocol) -> Upload:
    """An upload that this grant may go on with. Raises Absent."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    upload = Upload.objects.select_related("user").filter(
        pk=number, user=grant.user, try_symbols=writes_try(grant), protocol=protocol, cancelled_at=None
    )
    if found := upload.first():
        return found
    raise Absent("You have no such upload")

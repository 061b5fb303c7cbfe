"""What the client `sym_upload` calls. It cannot send headers, so the token may be in the URL's `?key=`.

Protocol v1 is one form. Protocol v2 asks whether the module is there, for an address, PUTs, and completes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import wraps

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse

from tecken.errors import Absent, BadInput, TooMuch
from tecken.http.decorators import Grant, body, permitted, post_only, takes_body
from tecken.http.ratelimit import limited, spend, upload_cost
from tecken.http.responses import answers_errors, json_reply
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.storage.backends.staging import Slot
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.upload import single_file, sym_upload
from tecken.upload.file_rows import Outcome
from tecken.upload.form import Spool
from tecken.upload.ingest import storage
from tecken.upload.models import Protocol, Upload
from tecken.upload.protocols.direct import UPLOADERS, mine, own_address, writes_try

MAX_COMPLETION_BYTES = 64 << 10
FIELDS_BYTES = 64 << 10


def uploader(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For who may upload, with the token in the header or in the URL."""
    guarded = permitted(*UPLOADERS)(view)

    @wraps(view)
    @answers_errors
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        _take_key_of_url(request)
        return guarded(request, *args, **kwargs)

    def admit(request: HttpRequest, *args: object, **kwargs: object) -> None:
        _take_key_of_url(request)
        guarded.admit(request, *args, **kwargs)  # type: ignore[attr-defined]

    inner.admit = admit  # type: ignore[attr-defined]
    return inner


def _take_key_of_url(request: HttpRequest) -> None:
    if key := request.GET.get("key"):
        request.META.setdefault("HTTP_AUTH_TOKEN", key)
        # Django builds `headers` from META when it is first read, and keeps it.
        request.__dict__.pop("headers", None)


@uploader
def status(request: HttpRequest, debug_file: str, debug_id: str) -> HttpResponse:
    grant: Grant = request.auth  # type: ignore[attr-defined]
    try:
        storage(writes_try(grant)).stat(symbol_file(ObjectId.parse(debug_file, debug_id)))
    except Absent:
        return json_reply(sym_upload.spoken(status="MISSING"))
    return json_reply(sym_upload.spoken(status="FOUND"))


@post_only
@uploader
@limited("upload")
def create(request: HttpRequest) -> HttpResponse:
    """The address is always ours: this client's PUT is chunked, which S3 refuses."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    upload = single_file.begin(grant.user, writes_try(grant))
    url = own_address(request, Slot(upload.pk, 0), options().symbol_max_bytes)
    return json_reply(sym_upload.spoken(uploadUrl=url, uploadKey=str(upload.pk)))


@post_only
@uploader
@limited("upload", cost=None)
@body(lambda: MAX_COMPLETION_BYTES)
def complete(request: HttpRequest, content: bytes, number: int) -> HttpResponse:
    upload = mine(request, number, Protocol.SYM_UPLOAD)
    outcome = single_file.complete(
        upload, sym_upload.from_completion(content), lambda size: _pay(request, size)
    )
    return _result(outcome, upload)


def _result(outcome: Outcome, upload: Upload) -> HttpResponse:
    warnings = {"warnings": upload.warnings} if upload.warnings else {}
    return json_reply(sym_upload.spoken(result=sym_upload.RESULTS[outcome], **warnings))


def _pay(request: HttpRequest, size: int) -> None:
    """The PUT before carried no token."""
    spend(request, "upload", Cost(0, 0, size))


@post_only
@uploader
@limited("upload", upload_cost)
@takes_body(lambda: options().symbol_max_bytes + FIELDS_BYTES)
def send(request: HttpRequest) -> HttpResponse:
    """Status 200, never 201, which the client takes for a failure."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    most = options().symbol_max_bytes
    if int(request.META.get("CONTENT_LENGTH") or 0) > most + FIELDS_BYTES:
        raise TooMuch(f"The symbol file is larger than {most} bytes")
    spool = Spool(request)
    request.upload_handlers = [spool]
    with closing(spool):
        file = request.FILES.get("symbol_file")
        if not isinstance(file, UploadedFile):
            raise BadInput("The form has no file symbol_file")
        named = sym_upload.from_form(request.POST)
        upload = single_file.begin(grant.user, writes_try(grant), file.name or "")
        return _result(single_file.take(upload, named, file.chunks), upload)

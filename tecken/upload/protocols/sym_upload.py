"""Breakpad's `sym_upload`. The client cannot send headers, so the token may be in the URL's `?key=`.

Protocol v1 is one form. In protocol v2 the client requests the status of a module and a URL, sends the file
to the URL and completes the upload.

Source: Breakpad, docs/sym_upload_v2_protocol.md and src/common/linux/symbol_collector_client.cc.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import wraps
from typing import Final

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse

from tecken.errors import InvalidInput, NotFound, TooLarge
from tecken.http.decorators import Grant, accept_body, body, post_only, require_permission
from tecken.http.ratelimit import charge, rate_limited, upload_cost
from tecken.http.responses import json_reply, render_errors
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.storage.backends.files import Slot
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.upload import single_file
from tecken.upload.file_rows import Outcome
from tecken.upload.form import Spool
from tecken.upload.ingest import select_storage
from tecken.upload.models import Protocol, Upload
from tecken.upload.protocols.direct import UPLOADERS, build_own_url, find_upload, writes_try
from tecken.upload.single_file import NamedFile

MAX_COMPLETION_BYTES = 64 << 10
FIELDS_BYTES = 64 << 10
RESULTS: Final = {"stored": "OK", "skipped": "DUPLICATE_DATA"}
# The client's name of each type. A completion without one is about a symbol file.
SYMBOL_FILE_TYPE: Final = "BREAKPAD"
NATIVE_TYPES: Final = (
    *(FileType.ELF, FileType.PE, FileType.MACHO, FileType.PDB),
    *(FileType.DEBUG_ONLY, FileType.DWP, FileType.DSYM),
)
TYPES: Final = {
    SYMBOL_FILE_TYPE: FileType.SYMBOL_FILE,
    **{file_type.name: file_type for file_type in NATIVE_TYPES},
}
# Not JSON: the client sends `{ symbol_id: {debug_file: "x", debug_id: "Y" }, symbol_upload_type: "ELF" }` and
# escapes nothing; the protocol's document has quoted names in another spelling.
FIELD: Final = re.compile(r'\b(debug_?[Ff]ile|debug_?[Ii]d|symbol_upload_type)"?\s*:\s*"([^"]*)"')


def uploader(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Require a permission to upload, by a token in the header or in the URL."""
    guarded = require_permission(*UPLOADERS)(view)

    @wraps(view)
    @render_errors
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        _move_key_to_header(request)
        return guarded(request, *args, **kwargs)

    def admit(request: HttpRequest, *args: object, **kwargs: object) -> None:
        _move_key_to_header(request)
        guarded.admit(request, *args, **kwargs)  # type: ignore[attr-defined]

    inner.admit = admit  # type: ignore[attr-defined]
    return inner


def _move_key_to_header(request: HttpRequest) -> None:
    if key := request.GET.get("key"):
        request.META.setdefault("HTTP_AUTH_TOKEN", key)
        # Django caches `headers` when it is first read, so a cached copy would lack the token.
        request.__dict__.pop("headers", None)


@uploader
def status(request: HttpRequest, debug_file: str, debug_id: str) -> HttpResponse:
    """Return whether the symbol file of a module is stored."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    try:
        select_storage(writes_try(grant)).stat(symbol_file(ObjectId.parse(debug_file, debug_id)))
    except NotFound:
        return json_reply(format_json(status="MISSING"))
    return json_reply(format_json(status="FOUND"))


@post_only
@uploader
@rate_limited("upload")
def create(request: HttpRequest) -> HttpResponse:
    """Create an upload and return its URL."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    upload = single_file.begin(grant.user, writes_try(grant))
    # Not a URL of the bucket: the client sends a chunked body, which S3 refuses.
    url = build_own_url(request, Slot(upload.pk, 0), options().symbol_max_bytes)
    return json_reply(format_json(uploadUrl=url, uploadKey=str(upload.pk)))


@post_only
@uploader
@rate_limited("upload", cost=None)
@body(lambda: MAX_COMPLETION_BYTES)
def complete(request: HttpRequest, content: bytes, number: int) -> HttpResponse:
    """Store the file that was sent to an upload's URL."""
    upload = find_upload(request, number, Protocol.SYM_UPLOAD)
    # The size is counted here, because the PUT had no token.
    outcome = single_file.complete(
        upload,
        parse_completion(content),
        lambda size: charge(request, "upload", Cost(0, 0, size)),
    )
    return _format_result(outcome, upload)


def _format_result(outcome: Outcome, upload: Upload) -> HttpResponse:
    warnings = {"warnings": upload.warnings} if upload.warnings else {}
    return json_reply(format_json(result=RESULTS[outcome], **warnings))


@post_only
@uploader
@rate_limited("upload", upload_cost)
@accept_body(lambda: options().symbol_max_bytes + FIELDS_BYTES)
def send(request: HttpRequest) -> HttpResponse:
    """Store the file of a form. The status is 200, because the client treats 201 as a failure."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    limit = options().symbol_max_bytes
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit + FIELDS_BYTES:
        raise TooLarge(f"The symbol file is larger than {limit} bytes")
    spool = Spool(request)
    request.upload_handlers = [spool]
    with closing(spool):
        file = request.FILES.get("symbol_file")
        if not isinstance(file, UploadedFile):
            raise InvalidInput("The form has no file symbol_file")
        named = parse_form(request.POST)
        upload = single_file.begin(grant.user, writes_try(grant), file.name or "")
        return _format_result(single_file.ingest_sent(upload, named, file.chunks), upload)


def parse_form(fields: Mapping[str, str]) -> NamedFile:
    """Return the module in the fields of a protocol v1 form. Raise InvalidInput."""
    try:
        module = ObjectId.parse(fields["debug_file"], fields["debug_identifier"])
    except KeyError as error:
        raise InvalidInput(f"The form has no field {error.args[0]}") from None
    return NamedFile(module, FileType.SYMBOL_FILE)


def parse_completion(body: bytes) -> NamedFile:
    """Return object and type in the body of `:complete` in protocol v2. Raise InvalidInput."""
    fields = {
        name.replace("_", "").lower(): value for name, value in FIELD.findall(body.decode(errors="replace"))
    }
    name = fields.get("symboluploadtype", SYMBOL_FILE_TYPE)
    if name not in TYPES:
        raise InvalidInput(f"symbol_upload_type must be one of {', '.join(TYPES)}")
    if not {"debugfile", "debugid"} <= fields.keys():
        raise InvalidInput("The body must have a symbol_id with debug_file and debug_id")
    return NamedFile(ObjectId.parse(fields["debugfile"], fields["debugid"]), TYPES[name])


def format_json(**fields: object) -> bytes:
    """Return JSON with a space after each colon, which the client's regular expressions require."""
    return json.dumps(fields, separators=(", ", ": ")).encode()

"""Breakpad's `sym_upload`. The client cannot send headers, so the token may be in the URL's `?key=`.

Protocol v1 is one form. In protocol v2 the client requests the status of a module and a URL, sends the file
to the URL and completes the upload. It sends the file's name in the form or afterwards.

Source: Breakpad, docs/sym_upload_v2_protocol.md and src/common/linux/symbol_collector_client.cc.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial, wraps
from typing import Final, NamedTuple

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tecken.errors import Conflict, InvalidInput, Malformed, NotFound, TooLarge
from tecken.http.decorators import Grant, accept_body, body, post_only, require_permission
from tecken.http.form import Spool
from tecken.http.ratelimit import charge, rate_limited, upload_cost
from tecken.http.responses import json_reply, render_errors
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.symbols.decompression import decompress
from tecken.symbols.ids import ObjectId, normal_debug_id
from tecken.symbols.layouts import FileKey, FileType, file_of, symbol_file
from tecken.upload.file_rows import Outcome, warn_of_native_files
from tecken.upload.ingest import ingest_file, open_staged, read_chunks, select_storage
from tecken.upload.models import Protocol, Upload
from tecken.upload.protocols.direct import UPLOADERS, build_own_url, find_upload, writes_try
from tecken.upload.resolved import note_resolved

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
    upload = begin_file(grant)
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
    outcome = complete_file(
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
        upload = begin_file(grant, file.name or "")
        return _format_result(ingest_sent(upload, named, file.chunks), upload)


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
    # The client sends the type as its user has written it.
    name = fields.get("symboluploadtype", SYMBOL_FILE_TYPE).upper()
    if name not in TYPES:
        raise InvalidInput(f"symbol_upload_type must be one of {', '.join(TYPES)}")
    if not {"debugfile", "debugid"} <= fields.keys():
        raise InvalidInput("The body must have a symbol_id with debug_file and debug_id")
    return NamedFile(ObjectId.parse(fields["debugfile"], fields["debugid"]), TYPES[name])


def format_json(**fields: object) -> bytes:
    """Return JSON with a space after each colon, which the client's regular expressions require."""
    return json.dumps(fields, separators=(", ", ": ")).encode()


# Storage of the file

LONGEST_RECORD: Final = 4096


class NamedFile(NamedTuple):
    """Object and type that a client declares for its file."""

    module: ObjectId
    file_type: FileType

    @property
    def key(self) -> FileKey:
        """Return the key under which the file is stored."""
        return file_of(self.module, self.file_type)


def begin_file(grant: Grant, filename: str = "") -> Upload:
    """Create an upload of one file."""
    try_symbols = writes_try(grant)
    return Upload.objects.create(
        user=grant.user,
        token=grant.token,
        protocol=Protocol.SYM_UPLOAD,
        filename=filename,
        bucket_name=select_storage(try_symbols).name,
        try_symbols=try_symbols,
        members_total=1,
    )


def ingest_sent(upload: Upload, file: NamedFile, read: Callable[[], Iterable[bytes]]) -> Outcome:
    """Store a file and complete its upload. `read` returns the sent bytes and may be called three times."""
    content = partial(_read_content, read, file)
    # Read once before it is stored: a file whose MODULE record names another module must not replace the
    # stored one.
    try:
        upload.size = sum(map(len, content()))
        outcome = ingest_file(upload, file.key, content, upload.size)
        warn_of_native_files(upload)
    except (InvalidInput, Conflict) as error:
        upload.error = str(error)
        upload.save(update_fields=["error"])
        raise
    upload.error, upload.completed_at = "", timezone.now()
    upload.save(update_fields=["size", "error", "completed_at"])
    note_resolved(upload)
    return outcome


def complete_file(upload: Upload, file: NamedFile, charge: Callable[[int], None]) -> Outcome:
    """Store the staged file of an upload. A repeated call returns the same result.

    `charge` is called with the file's size in bytes before the file is stored. If it raises an error, the
    file stays in staging and can be completed later.
    """
    slot = Slot(upload.pk, 0)
    if upload.completed_at:
        outcome: Outcome = "skipped" if upload.skipped_keys else "stored"
    else:
        outcome = _ingest_staged(upload, file, slot, charge)
    # Also after an earlier call: that one may have been killed before it deleted the staged file.
    storage_services.staging().delete(slot)
    return outcome


def _ingest_staged(upload: Upload, file: NamedFile, slot: Slot, charge: Callable[[int], None]) -> Outcome:
    try:
        with open_staged(slot) as spool:
            charge(spool.tell())
            return ingest_sent(upload, file, partial(read_chunks, spool))
    except NotFound:
        raise InvalidInput("The file was not sent") from None


def _read_content(read: Callable[[], Iterable[bytes]], file: NamedFile) -> Iterator[bytes]:
    if file.file_type is FileType.SYMBOL_FILE:
        return check_module_record(decompress(read(), options().symbol_max_bytes), file)
    return iter(read())


def check_module_record(text: Iterable[bytes], file: NamedFile) -> Iterator[bytes]:
    """Yield the text of a symbol file. Raise Malformed when its MODULE record has another debug id."""
    chunks = iter(text)
    start = b""
    while b"\n" not in start and len(start) < LONGEST_RECORD and (chunk := next(chunks, None)) is not None:
        start += chunk
    record = start.partition(b"\n")[0].decode(errors="replace").split()
    if record[:1] != ["MODULE"] or list(map(normal_debug_id, record[3:4])) != [file.module.debug_id]:
        raise Malformed(f"The file does not begin with the MODULE record of debug id {file.module.debug_id}")
    yield start
    yield from chunks

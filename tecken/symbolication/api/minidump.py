"""`POST /process/minidump`, and `/process/minidump/<id>`: from a dump to its report (docs/api.md).

Programs that send dumps after a crash take status 200 alone as success, and keep the text of the response as
the id of their report. They therefore get the id, whether or not the report is ready. They do not send a dump
again that was refused. They send several one after the other, so each response waits for its dump for some
seconds: otherwise the client would soon have no place, and the other dumps would be lost. Sources: Crashpad's
crash_report_upload_thread.cc, its settings.h, with which it gives up after 60 seconds, and after 20 on iOS,
and the names that its http_transport_*.cc and Breakpad's http_upload.cc send as User-Agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, cast

import orjson
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import SkipFile
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from tecken.errors import InvalidInput, Malformed, NotFound, TooLarge, Unavailable
from tecken.http.decorators import accept_body, cors, get_only, post_only, raise_refusal
from tecken.http.form import CHUNK_BYTES, FIELDS_BYTES, MalformedForm, Spool, parse_multipart, read_body
from tecken.http.ratelimit import caller_of, rate_limited
from tecken.http.responses import json_reply
from tecken.limits import services as limits_services
from tecken.runtimeconfig.current import options
from tecken.symbolication.api.views import charge_before_body, client_of, count_requests
from tecken.symbolication.crash_dumps.services import dump_desk, dump_tracker
from tecken.symbolication.crash_dumps.submission import DumpStatus
from tecken.symbolication.minidump.signature import HEAD_BYTES, NOT_A_DUMP, is_dump
from tecken.symbols.decompression import decompress

NAME: Final = "minidump"
SENDERS: Final = ("Crashpad/", "Breakpad/")
# Seconds for which a sender waits for its dump.
SENDER_SECONDS: Final = 10.0
# The first one is that of senders.
FIELDS: Final = ("upload_file_minidump", "minidump")
NO_DUMP: Final = f"Must be a minidump or a core file, or a form with one in its field {' or '.join(FIELDS)}"
EMPTY: Final = "The file is empty; send a minidump or a core file"
# Time for the whole body: 256 MiB at 3.6 Mbit/s.
BODY_SECONDS: Final = 600.0
# Seconds until a client should look again.
RETRY_AFTER: Final = "2"
TEXT: Final = "text/plain; charset=utf-8"
EXPOSED: Final = "Content-Location, Location, RateLimit, RateLimit-Policy, Retry-After"
REPORT_METHODS: Final = "GET, HEAD, POST, OPTIONS"


def max_dump_bytes() -> int:
    """Return how large the body of a request with a dump may be."""
    return options().minidump_max_bytes + FIELDS_BYTES


class OneDump(Spool):
    """Upload handler that takes the first file in one of FIELDS, and skips all others: senders attach logs.

    `dump` is the file, once it is complete.
    """

    dump: BinaryIO | None = None

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        """Open the file."""
        if field_name not in FIELDS or self.dump:
            raise SkipFile
        super().new_file(field_name, file_name, *args, **kwargs)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write a chunk. Raises TooLarge."""
        if start + len(raw_data) > options().minidump_max_bytes:
            raise _too_large()
        super().receive_data_chunk(raw_data, start)

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        """Keep the file from the parser, which closes `file` when it skips another one."""
        complete = super().file_complete(file_size)
        self.dump = self.file
        del self.file
        return complete

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self.dump:
            self.dump.close()


def _too_large() -> TooLarge:
    return TooLarge(f"The minidump is larger than {options().minidump_max_bytes} bytes")


@contextmanager
def receive_dump(request: HttpRequest) -> Iterator[BinaryIO]:
    """Give the dump in a body, or in a field of a form, as a file without a name.

    The dump may be a compressed file. Raises InvalidInput and TooLarge.
    """
    if request.content_type == "multipart/form-data":
        with closing(OneDump(request)) as spool:
            try:
                parse_multipart(request, max_dump_bytes(), spool)
            except MalformedForm as error:
                raise InvalidInput(f"{NO_DUMP}: {error}") from None
            if not spool.dump:
                raise InvalidInput(NO_DUMP)
            with _unpack(iter(partial(spool.dump.read, CHUNK_BYTES), b"")) as file:
                yield file
        return
    with _unpack(read_body(request, options().minidump_max_bytes)) as file:
        yield file


@contextmanager
def _unpack(chunks: Iterator[bytes]) -> Iterator[BinaryIO]:
    """Write the unpacked chunks to a file without a name."""
    with cast(BinaryIO, TemporaryFile(dir=settings.SPOOL_DIR)) as file:
        try:
            for chunk in decompress(chunks, options().minidump_max_bytes):
                file.write(chunk)
        except TooLarge:
            raise _too_large() from None
        if not file.tell():
            raise InvalidInput(EMPTY)
        yield file


def submit(request: HttpRequest, file: BinaryIO) -> str:
    """Store the dump of a request, send its job, and return its id.

    Raises Malformed for a file that is no dump, TooManyAtOnce and Unavailable.
    """
    file.seek(0)
    if not is_dump(file.read(HEAD_BYTES)):
        raise Malformed(f"{NOT_A_DUMP}; texts are for /symbolicate/ and /symbolicate/text")
    limits_services.usage().count_version(NAME)
    return dump_desk().submit(file, client_of(request), caller_of(request))


@csrf_exempt
@count_requests(NAME)
@cors("POST, OPTIONS", EXPOSED)
@post_only
@rate_limited("symbolicate", cost=None)
@charge_before_body
@accept_body(max_dump_bytes, BODY_SECONDS)
def post_minidump(request: HttpRequest) -> HttpResponse:
    """Process the dump in the body, and wait for its report for some seconds."""
    raise_refusal(request)
    with receive_dump(request) as file:
        dump_id = submit(request, file)
    if request.headers.get("User-Agent", "").startswith(SENDERS):
        # The dump is stored, so its id is right even if its state is unknown.
        with suppress(Unavailable, NotFound):
            dump_desk().wait(dump_id, min(SENDER_SECONDS, options().minidump_deadline_seconds))
        return HttpResponse(dump_id, content_type=TEXT)
    return _reply(request, dump_id, dump_desk().wait(dump_id, options().minidump_deadline_seconds))


def admit_dump(request: HttpRequest) -> None:
    """Check that the client has a place, before a large body is read."""
    dump_tracker().check_places(client_of(request))


post_minidump.admit = admit_dump  # type: ignore[attr-defined]


@csrf_exempt
def serve_report(request: HttpRequest, dump_id: str) -> HttpResponse:
    """Return the report of a dump; a POST has a kept dump processed again before."""
    if request.method == "POST":
        return post_again(request, dump_id)
    reply = get_minidump(request, dump_id)
    if reply.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        reply["Allow"] = REPORT_METHODS
    return reply


@cors(REPORT_METHODS, EXPOSED)
@post_only
@rate_limited("symbolicate")
def post_again(request: HttpRequest, dump_id: str) -> HttpResponse:
    """Process a kept dump again, and wait for its report for some seconds."""
    dump_desk().process_again(dump_id, client_of(request), caller_of(request))
    return _reply(request, dump_id, dump_desk().wait(dump_id, options().minidump_deadline_seconds))


@cors(REPORT_METHODS, EXPOSED)
@get_only
@rate_limited("symbolicate")
def get_minidump(request: HttpRequest, dump_id: str) -> HttpResponse:
    """Return the report of a dump, or the dump's state."""
    return _reply(request, dump_id, dump_desk().fetch(dump_id))


def _reply(request: HttpRequest, dump_id: str, status: DumpStatus) -> HttpResponse:
    """Return the report, or the state with the address at which the report will be."""
    status.raise_if_failed()
    url = request.build_absolute_uri(f"/process/minidump/{dump_id}")
    if status.state == "done":
        reply = json_reply(status.report)
        # Who has the address may read the report; shared caches may not store it.
        reply["Content-Location"], reply["Cache-Control"] = url, "private"
        return reply
    body = {"id": dump_id, "url": url, "state": status.state}
    reply = json_reply(orjson.dumps(body), HTTPStatus.ACCEPTED)
    reply["Location"], reply["Retry-After"], reply["Cache-Control"] = url, RETRY_AFTER, "no-store"
    return reply

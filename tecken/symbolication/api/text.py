"""`POST /symbolicate/text`: from a crash report to its stacks with functions, as text or JSON (docs/api.md).

The page /symbolicate/ uses the same `symbolicate_text`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Final

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from tecken.errors import TooLarge
from tecken.http.decorators import View, body, post_only
from tecken.http.ratelimit import charge, rate_limited
from tecken.http.responses import error_reply, json_reply
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.views import charge_before_body, count_requests, max_body, parts, public
from tecken.symbolication.crash_reports.parse import parse_report, reject_file
from tecken.symbolication.crash_reports.parsed_report import NotSymbolicatable, ParsedReport
from tecken.symbolication.symbolicated import (
    SourceExcerpts,
    SymbolicatedReport,
    format_json,
    format_text,
    symbolicate_report,
)

# Bounds the time to parse a text, which grows in proportion to its length, whatever the text.
MAX_CHARACTERS: Final = 1024 * 1024
NAME: Final = "text"
TEXT: Final = "text/plain; charset=utf-8"
# Windows PowerShell and WinDbg write UTF-16 with a byte order mark.
BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def check_length(text: str) -> None:
    """Raise TooLarge for more than `MAX_CHARACTERS`, or NotSymbolicatable if so large a file is no text."""
    if len(text) > MAX_CHARACTERS:
        # The kind of a minidump helps more than its size.
        reject_file(text)
        raise TooLarge(
            f"The text is longer than {MAX_CHARACTERS} characters: paste the stacks and the modules only"
        )


def symbolicate_text(
    request: HttpRequest, text: str, excerpts: SourceExcerpts | None = None
) -> tuple[ParsedReport, SymbolicatedReport]:
    """Return the report in a text, as it was read and with functions. Its frames are charged to the caller.

    Raises:
        TooLarge: The text has more than `MAX_CHARACTERS`, or too many frames.
        InvalidInput: The text is no report, or has nothing that can be symbolicated.
        RateLimited: The caller has no frames left.
        Unavailable: No module could be looked up.
    """
    check_length(text)
    paste = parse_report(text, options().symbolicate_max_frames)
    # The request was charged before its body was read. Its frames are known only now.
    charge(request, "symbolicate", Cost(requests=0, frames=paste.count_frames()))
    symbolication_services.note_build_ids(paste.build_ids)
    return paste, symbolicate_report(parts(request), paste, excerpts)


def decode_text(content: bytes) -> str:
    """Return the text in a body: UTF-8, or UTF-16 with a byte order mark. Other bytes become U+FFFD."""
    marks = (encoding for mark, encoding in BYTE_ORDER_MARKS.items() if content.startswith(mark))
    return content.decode(next(marks, "utf-8"), errors="replace")


def errors_as_text(view: View) -> View:
    """Turn the JSON of an error into a line of text, for clients that do not prefer JSON."""

    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        reply = view(request)
        if reply.status_code >= HTTPStatus.BAD_REQUEST and not _prefers_json(request):
            reply.content = f"{orjson.loads(reply.content)['error']}\n".encode()
            reply["Content-Type"], reply["Content-Length"] = TEXT, str(len(reply.content))
        return reply

    return inner


@csrf_exempt
@count_requests(NAME)
@public
@errors_as_text
@post_only
@rate_limited("symbolicate", cost=None)
@charge_before_body
@body(max_body)
def symbolicate_body(request: HttpRequest, content: bytes) -> HttpResponse:
    """Symbolicate the crash report in the body."""
    limits_services.usage().count_version(NAME)
    try:
        paste, report = symbolicate_text(request, decode_text(content))
    except NotSymbolicatable as error:
        return error_reply(HTTPStatus.BAD_REQUEST, str(error), kind=error.kind)
    if _prefers_json(request):
        return json_reply(format_json(paste, report))
    lines = "\n".join(_lines(paste, report, request.build_absolute_uri))
    return HttpResponse(lines + "\n", content_type=TEXT)


def _prefers_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/plain", "application/json"]) == "application/json"


def _lines(paste: ParsedReport, report: SymbolicatedReport, absolute: Callable[[str], str]) -> Iterator[str]:
    """Yield the report's lines: kind and reason, the stacks, and what is missing."""
    yield f"Kind: {paste.kind}"
    if paste.reason:
        yield f"Reason: {paste.reason}"
    yield ""
    yield format_text(report.threads).rstrip("\n")
    # The remarks name the modules without an id.
    missing = [use for use in report.modules if use.why and use.module.debug_id]
    if missing or paste.remarks:
        yield ""
    for use in missing:
        yield f"{use.module.debug_file or '?'} {use.module.debug_id}: {use.why}"
        if use.explain:
            yield f"  {absolute(use.explain)}"
    yield from paste.remarks

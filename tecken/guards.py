"""What stands at a view's door: CORS, method, body. Each guard is a decorator."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from tecken.errors import BadInput, TooMuch
from tecken.http import error_reply
from tecken.symbols.unpack import decoded

View = Callable[[HttpRequest], HttpResponse]
BodyView = Callable[[HttpRequest, bytes], HttpResponse]

ENCODINGS = ("gzip", "zstd")


def cors(methods: str) -> Callable[[View], View]:
    """Any page may call, and read errors too; a preflight is answered here."""

    def guard(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest) -> HttpResponse:
            reply = _preflight(methods) if request.method == "OPTIONS" else view(request)
            reply["Access-Control-Allow-Origin"] = "*"
            reply["Access-Control-Expose-Headers"] = "Retry-After"
            return reply

        return inner

    return guard


def _preflight(methods: str) -> HttpResponse:
    headers = {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Max-Age": "86400",
        "Content-Length": "0",
    }
    return HttpResponse(headers=headers)


def post_only(view: View) -> View:
    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        if request.method == "POST":
            return view(request)
        reply = error_reply(HTTPStatus.METHOD_NOT_ALLOWED, "Must use HTTP POST")
        reply["Allow"] = "POST, OPTIONS"
        return reply

    return inner


def body(limit: Callable[[], int]) -> Callable[[BodyView], View]:
    """Hand the view its body, at most `limit()` bytes as sent and as unpacked."""

    def guard(view: BodyView) -> View:
        @wraps(view)
        def inner(request: HttpRequest) -> HttpResponse:
            encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in ("identity", *ENCODINGS):
                return _unknown_encoding(encoding)
            raw = _read(request, limit())
            return view(request, raw if encoding == "identity" else _unpacked(raw, limit()))

        return inner

    return guard


def _unknown_encoding(encoding: str) -> HttpResponse:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    reply = error_reply(status, f"Content-Encoding must be {' or '.join(ENCODINGS)}, not {encoding!r}")
    reply["Accept-Encoding"] = ", ".join(ENCODINGS)
    return reply


def _read(request: HttpRequest, limit: int) -> bytes:
    """A body without Content-Length (chunked) is one that only the server's own stream can give."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        raise _too_large(limit)
    terminated = request.META.get("wsgi.input_terminated")
    stream = request.META["wsgi.input"] if terminated else request
    try:
        raw: bytes = stream.read(limit + 1)
    except OSError:
        raise BadInput("The body ended early") from None
    if len(raw) > limit:
        raise _too_large(limit)
    return raw


def _unpacked(raw: bytes, limit: int) -> bytes:
    try:
        return b"".join(decoded([raw], limit))
    except TooMuch:
        raise _too_large(limit) from None


def _too_large(limit: int) -> TooMuch:
    return TooMuch(f"The body is larger than {limit} bytes")

"""Replies: JSON, the one table from errors to HTTP statuses, ranges of bytes, and compression.

Responses are compressed as the client's Accept-Encoding allows (RFC 9110, sections 8.4 and 12.5.3). The
length of a compressed response can leak a secret that it contains beside text of an attacker's choice
(BREACH). The attack needs a browser that adds credentials by itself, so a response to a request with a
session is not compressed. docs/security.md has the whole argument.
"""

from __future__ import annotations

import gzip
import logging
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from http import HTTPStatus
from typing import Literal, NamedTuple, TypeVar

import orjson
import zstandard
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from redis import RedisError

from tecken import errors

logger = logging.getLogger(__name__)
Reply = TypeVar("Reply", bound=HttpResponseBase)

STATUS: dict[type[errors.TeckenError], HTTPStatus] = {
    errors.TeckenError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.BadModule: HTTPStatus.BAD_REQUEST,
    errors.BadOption: HTTPStatus.BAD_REQUEST,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.LockedOut: HTTPStatus.TOO_MANY_REQUESTS,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyAtOnce: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnknownEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Malformed: HTTPStatus.BAD_REQUEST,
    errors.MalformedPageFile: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.SourceDisabled: HTTPStatus.NOT_FOUND,
    errors.NotAsked: HTTPStatus.NOT_FOUND,
    errors.IncompleteId: HTTPStatus.NOT_FOUND,
    errors.AccessDenied: HTTPStatus.NOT_FOUND,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Throttled: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Pending: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
RETRY_AFTER_SECONDS = 5
"""Retry-After of a 503 whose error has no waiting time."""
DISK_FULL = "The server's disk for temporary files is full: nothing was stored, send it again later"
# Longer than after other failures: an operator or the nightly cleanup has to free space.
DISK_FULL_SECONDS = 60

# A number with more digits is past the end of every file, and converting a very long one takes long.
ONE_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.IGNORECASE)


def json_reply(body: bytes, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return a reply whose body is JSON already."""
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return HttpResponse(body, status=status, headers=headers)


def error_reply(status: int, text: str, **more: object) -> HttpResponse:
    """Return a JSON object with the text as `error`, and with the other members."""
    return json_reply(orjson.dumps({"error": text, **more}), status)


def reply_to(error: errors.TeckenError, path: str) -> HttpResponse:
    """Return the reply for an error that was raised on purpose: its text, except for a 500.

    Everyone may read it, so it has no addresses of buckets and directories. The log has those of a 503.
    """
    status = _status(type(error))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s: %s", path, error, exc_info=error)
        return error_reply(status, status.phrase)
    text = errors.hide_places(str(error))
    if status == HTTPStatus.NOT_FOUND:
        return error_reply(status, text, path=path)
    if text != str(error):
        logger.warning("%s: %s", path, error)
    if isinstance(error.__cause__, RedisError | DatabaseError | InterfaceError):
        # The reply has our own words, since the cause may quote a command or a statement.
        logger.warning("%s: %s: %s", path, error, error.__cause__)
    more = {"violated-policies": error.violated} if isinstance(error, errors.RateLimited) else {}
    reply = error_reply(status, text, **more)
    if isinstance(error, errors.Unavailable | errors.LockedOut):
        reply["Retry-After"] = str(_whole_seconds(error.retry_after))
    return reply


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler404
    """Return the reply for a path without a view."""
    return error_reply(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND.phrase, path=request.path)


def render_errors(view: Callable[..., Reply]) -> Callable[..., Reply | HttpResponse]:
    """Decorate a view so that each exception becomes a JSON reply.

    The text of an exception that was not raised on purpose is logged only.
    """

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> Reply | HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except errors.TeckenError as error:
            return reply_to(error, request.path)
        except (OperationalError, InterfaceError):
            logger.exception("%s %s", request.method, request.path)
            return reply_to(errors.Unavailable("The database does not answer"), request.path)
        except Exception as error:
            logger.exception("%s %s", request.method, request.path)
            if errors.is_disk_full(error):
                return reply_to(errors.Unavailable(DISK_FULL, DISK_FULL_SECONDS), request.path)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return error_reply(status, status.phrase)

    return inner


class ByteRange(NamedTuple):
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int


class Unsatisfiable(errors.InvalidInput):
    """Range that begins past the end of the file."""


def parse_range(header: str, size: int) -> ByteRange | None:
    """Return the range that a Range header names (RFC 9110, section 14). Raises Unsatisfiable.

    Several ranges, other units and malformed headers are to be ignored: None.
    """
    match = ONE_RANGE.fullmatch(header)
    if not match:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        requested = ByteRange(max(0, size - int(suffix)), size)
    else:
        if last and int(last) < int(first):
            return None
        requested = ByteRange(int(first), min(int(last) + 1, size) if last else size)
    if requested.start >= requested.end:
        raise Unsatisfiable(f"There are only {size} bytes")
    return requested


def _status(error_class: type[errors.TeckenError]) -> HTTPStatus:
    return next(STATUS[cls] for cls in error_class.__mro__ if cls in STATUS)


def _whole_seconds(retry_after: float | None) -> int:
    return max(1, math.ceil(RETRY_AFTER_SECONDS if retry_after is None else retry_after))


# Compression

Handler = Callable[[HttpRequest], HttpResponseBase]
Coding = Literal["zstd", "gzip"]

# A body that fits into about one TCP segment does not arrive sooner when it has fewer bytes.
SMALLEST_BYTES = 1400
# `python -m bench.compression`: higher levels cost several times the CPU for a few percent fewer bytes.
ZSTD_LEVEL, GZIP_LEVEL = 3, 4
COMPRESSED_TYPES = ("application/json", "text/html", "text/plain", "text/csv")
WEIGHT = re.compile(r"\s*q=([01](?:\.\d{0,3})?)\s*")


def compression_middleware(get_response: Handler) -> Handler:
    """Compress large texts. Files, streams and ranges have been encoded for the client already."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if isinstance(response, HttpResponse) and _is_worth_it(response):
            _vary(response)
            coding = choose_coding(request.META.get("HTTP_ACCEPT_ENCODING", ""))
            if coding and not _may_leak(request, response):
                _compress(response, coding)
        return response

    return respond


def _vary(response: HttpResponse) -> None:
    """Add Accept-Encoding to Vary, also for a response that is not compressed: caches store both forms."""
    if "Vary" in response.headers:
        patch_vary_headers(response, ("Accept-Encoding",))
    else:
        response.headers["Vary"] = "Accept-Encoding"


def _is_worth_it(response: HttpResponse) -> bool:
    headers = response.headers
    return (
        len(response.content) >= SMALLEST_BYTES
        and headers.get("Content-Type", "").startswith(COMPRESSED_TYPES)
        and "Content-Encoding" not in headers
        and "Content-Range" not in headers
        and "no-transform" not in headers.get("Cache-Control", "")
    )


def _may_leak(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether an attacker may learn a secret from the compressed length.

    A page of another site may use the session. JSON with no-store contains a secret.
    """
    return settings.SESSION_COOKIE_NAME in request.COOKIES or (
        "no-store" in response.headers.get("Cache-Control", "")
        and response.headers["Content-Type"].startswith("application/json")
    )


def _compress(response: HttpResponse, coding: Coding) -> None:
    response.content = encode(response.content, coding)
    response.headers["Content-Encoding"] = coding
    response.headers["Content-Length"] = str(len(response.content))
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        # The bytes differ from those of the original, and have the same meaning: a weak validator.
        response.headers["ETag"] = f"W/{etag}"


def encode(content: bytes, coding: Coding) -> bytes:
    """Return the compressed content."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content)
    # Without a time stamp, equal contents have equal bytes.
    return gzip.compress(content, GZIP_LEVEL, mtime=0)


@lru_cache(maxsize=64)
def choose_coding(header: str) -> Coding | None:
    """Return the coding that the client prefers; zstd if it prefers neither, None for no coding."""
    weights = parse_codings(header)
    best: Coding = max(("zstd", "gzip"), key=lambda coding: _weight(weights, coding))
    weight = _weight(weights, best)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def accepts_gzip(header: str) -> bool:
    """Return whether a client can unpack gzip.

    A client without the header (curl, wget, debuggers) cannot, although RFC 9110 allows any coding then.
    """
    return _weight(parse_codings(header), "gzip") > 0


def parse_codings(header: str) -> Mapping[str, float]:
    """Return the weight of each coding in an Accept-Encoding header; 1.0 for a malformed weight."""
    weights = {}
    for item in header.lower().split(","):
        coding, _, weight = item.partition(";")
        match = WEIGHT.fullmatch(weight)
        weights[coding.strip()] = float(match[1]) if match else 1.0
    return weights


def _weight(weights: Mapping[str, float], coding: str) -> float:
    return weights.get(coding, weights.get("*", 0.0))

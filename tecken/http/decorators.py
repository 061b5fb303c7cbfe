"""Decorators that check a request before its view runs: CORS, method, permission, body."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeVar

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from tecken.accounts import tokens
from tecken.accounts.addresses import address, failed_tokens
from tecken.accounts.models import Token
from tecken.accounts.sessions import session_user
from tecken.errors import Forbidden, InvalidInput, TooLarge
from tecken.http.responses import Reply, error_reply, render_errors
from tecken.runtimeconfig import current
from tecken.runtimeconfig.snapshot import Subject
from tecken.symbols.decompression import decompress

View = Callable[[HttpRequest], HttpResponse]
V = TypeVar("V", bound=Callable[..., Any])

ENCODINGS = ("gzip", "zstd")
PIECE_BYTES = 1 << 20
REFUSAL = "tecken.refusal"
"""Key in the WSGI environment: the error that the view's `admit` raised in the front, before the body was
read."""


def cors(
    methods: str, expose: str = "RateLimit, RateLimit-Policy, Retry-After"
) -> Callable[[Callable[..., Reply]], Callable[..., Reply | HttpResponse]]:
    """Let pages of any site call the view and read its errors and the headers `expose`.

    A preflight request is answered here.
    """

    def guard(view: Callable[..., Reply]) -> Callable[..., Reply | HttpResponse]:
        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> Reply | HttpResponse:
            reply = preflight(methods) if request.method == "OPTIONS" else view(request, *args, **kwargs)
            reply["Access-Control-Allow-Origin"] = "*"
            reply["Access-Control-Expose-Headers"] = expose
            return reply

        return inner

    return guard


def preflight(methods: str) -> HttpResponse:
    """Return the answer to a preflight request."""
    headers = {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Max-Age": "86400",
        "Content-Length": "0",
    }
    return HttpResponse(headers=headers)


def post_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer other methods than POST with 405."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST":
            return view(request, *args, **kwargs)
        reply = error_reply(HTTPStatus.METHOD_NOT_ALLOWED, "Must use HTTP POST")
        reply["Allow"] = "POST, OPTIONS"
        return reply

    return inner


def get_only(view: Callable[..., Reply]) -> Callable[..., Reply | HttpResponse]:
    """Answer other methods than GET and HEAD with 405."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> Reply | HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request, *args, **kwargs)
        reply = error_reply(HTTPStatus.METHOD_NOT_ALLOWED, "Must use HTTP GET")
        reply["Allow"] = "GET, HEAD, OPTIONS"
        return reply

    return inner


class Readable(Protocol):
    """Source of a body."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...


class Grant(NamedTuple):
    """Identity of the caller, and permissions as `app.codename`. A person with a session has no token."""

    user: User
    token: Token | None
    permissions: frozenset[str]


def authenticate(request: HttpRequest) -> Grant:
    """Return the grant of the Auth-Token header, else of the session.

    Afterwards options apply that are set for this user or token, and no cache may store the response.

    Raises:
        Forbidden: There is no valid token and no session.
        LockedOut: The address has sent too many unknown tokens.
        Unavailable: redis-cache does not answer.
    """
    request.is_personal = True  # type: ignore[attr-defined]
    grant = _grant(request)
    subject = getattr(request, "subject", Subject())
    subject = subject._replace(user=grant.user.email, token=grant.token.pk if grant.token else None)
    request.subject = subject  # type: ignore[attr-defined]
    current.repin(subject)
    return grant


def _grant(request: HttpRequest) -> Grant:
    key = request.headers.get("Auth-Token")
    if key:
        token = _find_token(request, key)
        return Grant(token.user, token, tokens.effective_permissions(token))
    user = session_user(request)
    if user is None:
        raise Forbidden("This requires an Auth-Token to authenticate the request")
    return Grant(user, None, frozenset(user.get_all_permissions()))


def _find_token(request: HttpRequest, key: str) -> Token:
    """Return the token of a key. Raises Forbidden, LockedOut.

    Only unknown tokens are counted and refused, because all users of a company may share one address.
    """
    try:
        token = tokens.find(key)
    except tokens.UnknownToken:
        failures, caller = failed_tokens(), address(request)
        failures.refuse(caller)
        failures.count(caller)
        raise
    tokens.record_use(token)
    return token


def check_permission(request: HttpRequest, *permissions: str) -> Grant:
    """Return the grant of a caller who has one of the permissions.

    Raises what `authenticate` raises, and Forbidden for other callers.
    """
    grant = authenticate(request)
    if grant.permissions.isdisjoint(permissions):
        raise Forbidden(f"This needs the permission {' or '.join(permissions)}")
    return grant


def require_permission(
    *permissions: str,
) -> Callable[[Callable[..., Reply]], Callable[..., Reply | HttpResponse]]:
    """Let callers pass who have one of the permissions, and set `request.user` and `request.auth` (a Grant).

    The front makes the same check, as `admit`, before it reads a large body.
    """

    def admit(request: HttpRequest, *_args: object, **_kwargs: object) -> Grant:
        return check_permission(request, *permissions)

    def guard(view: Callable[..., Reply]) -> Callable[..., Reply | HttpResponse]:
        @render_errors
        def checked(request: HttpRequest, *args: object, **kwargs: object) -> Reply:
            raise_refusal(request)
            grant = admit(request)
            request.user, request.auth = grant.user, grant  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)

        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> Reply | HttpResponse:
            reply = checked(request, *args, **kwargs)
            patch_vary_headers(reply, ["Auth-Token", "Cookie"])
            return reply

        inner.admit = admit  # type: ignore[attr-defined]
        return inner

    return guard


VIEW_SOURCES = "storage.view_sources"


def check_source_access(request: HttpRequest) -> None:
    """Raise Forbidden unless the caller may read source code, and what `authenticate` raises."""
    if current.options().source_code_public:
        return
    try:
        grant = authenticate(request)
    except tokens.UnknownToken:
        raise
    except Forbidden as error:
        raise Forbidden(f"Source code needs the permission {VIEW_SOURCES}. {error}") from None
    if VIEW_SOURCES not in grant.permissions:
        raise Forbidden(f"Source code needs the permission {VIEW_SOURCES}")


def raise_refusal(request: HttpRequest) -> None:
    """Raise the error with which the front has refused to read the body, if it has."""
    if refusal := request.META.get(REFUSAL):
        raise refusal


def body(limit: Callable[[], int]) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Pass the unpacked body to the view. It may have `limit()` bytes, as sent and as unpacked."""

    def guard(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @accept_body(limit)
        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
            # RFC 9110, section 8.4.1.3: x-gzip is the same as gzip.
            encoding = encoding.removeprefix("x-")
            if encoding not in ("identity", *ENCODINGS):
                return _unknown_encoding(encoding)
            raw = b"".join(stream_body(request, limit()))
            content = raw if encoding == "identity" else _unpack_body(raw, limit())
            return view(request, content, *args, **kwargs)

        return inner

    return guard


def accept_body(limit: Callable[[], int], seconds: float | None = None) -> Callable[[V], V]:
    """Declare to the front how many bytes of a body the view accepts. Outer decorators keep the mark.

    With `seconds`, large files of anonymous clients may take that long, and share a budget of their own.
    """

    def mark(view: V) -> V:
        view.body_limit = limit  # type: ignore[attr-defined]
        view.body_seconds = seconds  # type: ignore[attr-defined]
        return view

    return mark


def _unknown_encoding(encoding: str) -> HttpResponse:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    reply = error_reply(status, f"Content-Encoding must be {' or '.join(ENCODINGS)}, not {encoding!r}")
    reply["Accept-Encoding"] = ", ".join(ENCODINGS)
    return reply


def stream_body(request: HttpRequest, limit: int) -> Iterator[bytes]:
    """Yield the body as sent, in pieces.

    Raises:
        TooLarge: The body has more than `limit` bytes.
        InvalidInput: The body ends early.
    """
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        raise _too_large(limit)
    # A chunked body has no length in advance, so the bytes are counted as well.
    source, total = _body_source(request), 0
    while piece := _read_piece(source):
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        yield piece


def _body_source(request: HttpRequest) -> Readable:
    # Behind another web server than ours, a chunked body has no Content-Length, so Django would read nothing.
    source: Readable = request.META["wsgi.input"] if request.META.get("wsgi.input_terminated") else request
    return source


def _read_piece(source: Readable) -> bytes:
    try:
        return source.read(PIECE_BYTES)
    except OSError:
        raise InvalidInput("The body ended early") from None


def _unpack_body(raw: bytes, limit: int) -> bytes:
    try:
        return b"".join(decompress([raw], limit))
    except TooLarge:
        raise _too_large(limit) from None


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} bytes")

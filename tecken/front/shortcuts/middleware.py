"""What the middleware checks and adds, for requests that do not pass it."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from tecken.front.bridge import HeaderList, Scope
from tecken.monitoring.logs import choose_request_id
from tecken.runtimeconfig import current
from tecken.web.middleware import set_policy

UNUSUAL: Final = frozenset({b"auth-token", b"content-encoding", b"cookie", b"debug", b"x-config-override"})
"""Headers of requests that are left to Django."""

Headers = dict[bytes, bytes]


class LeftToDjango(Exception):
    """Reason to give no answer."""


def is_usual(scope: Scope, headers: Headers) -> bool:
    """Return whether a request has no header that is left to Django, none twice, and the site is open."""
    return (
        len(headers) == len(scope["headers"])
        and headers.keys().isdisjoint(UNUSUAL)
        and current.maintenance() is None
    )


def is_secure(scope: Scope, headers: Headers) -> bool:
    """Return whether the client uses HTTPS. Raises LeftToDjango if it is to be redirected there."""
    scheme = scope["scheme"].encode()
    if settings.SECURE_PROXY_SSL_HEADER:
        scheme = headers.get(b"x-forwarded-proto", scheme)
    if scheme == b"https":
        return True
    if scheme != b"http" or settings.SECURE_SSL_REDIRECT:
        raise LeftToDjango
    return False


def request_id(headers: Headers) -> str:
    """Return the id that a proxy or client sent, else a new one."""
    return choose_request_id(headers.get(b"x-request-id", b"").decode("latin-1"))


def identity_headers(request: str, version: int, states: str) -> HeaderList:
    """Return the headers with the id of the request, the version of the options, and the degraded states."""
    return [
        (b"X-Request-Id", request.encode()),
        (b"X-Config-Version", b"%d" % version),
        (b"X-Tecken-State", states.encode()),
    ]


def closing_headers(scheme: str) -> HeaderList:
    """Return the headers that the outer middleware adds, as it adds them to an empty response."""
    request = WSGIRequest({"REQUEST_METHOD": "GET", "wsgi.url_scheme": scheme, "wsgi.input": BytesIO()})
    if settings.SECURE_PROXY_SSL_HEADER:
        request.META[settings.SECURE_PROXY_SSL_HEADER[0]] = scheme
    response = HttpResponse()
    inner = set_policy(lambda _request: response)
    inner(request)
    XFrameOptionsMiddleware(inner).process_response(request, response)
    SecurityMiddleware(inner).process_response(request, response)
    return encode_headers(response, b"Content-Type")


def encode_headers(response: HttpResponseBase, without: bytes = b"") -> HeaderList:
    """Return the headers of a response, except for one."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    return [pair for pair in pairs if pair[0] != without]
